"""Batches of faces, and of people for training with references, drawn and damaged on the device they are trained on.

Endless: the people of a batch were never drawn before, and none of them is kept for evaluation. All chance comes from a
batch's own generator of numbers, so a run that resumes sees what it would have seen.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .data import Batch
from .degradation import SEVERITY_SHARES
from .device_degradation import age_batch, degrade_batch, draw_damages
from .faces import STYLES
from .generator import Generator, load_generator
from .people import GROUPS, SAME, TRIES

PEOPLE = (1 << 20, 1 << 30)  # their numbers; below are the people who are stored, some of them for evaluation
OTHERS = (1 << 30, 1 << 31)  # numbers of the people whose manner is mixed in
CHUNK = 16  # faces drawn at a time
MOVED = 0.5  # share of pictures that are moved as a detector would move them, by at most:
DEGREES, GROWTH, SHIFT = 5.0, 0.08, 20 / 512  # the shift in halves of the side


@dataclass(frozen=True, eq=False)
class PeopleBatch:
    """N faces with R references each, float32 RGB in [0,1].

    Attributes:
        clean: (N,3,S,S).
        damaged: (N,3,S,S).
        references: (N,R,3,S,S), other photographs, undamaged.
        wrong: (N,R) bool, which references show another person.
    """

    clean: Tensor
    damaged: Tensor
    references: Tensor
    wrong: Tensor


class DeviceFaces:
    """Makes batches of faces, each another person's, on the generator's device.

    Args:
        generator: draws them.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    @torch.no_grad()
    def clean(self, rng: np.random.Generator, count: int) -> Tensor:
        """`count` faces (N,3,S,S), moved and aged as training's are."""
        w = self.generator.people(rng.integers(*PEOPLE, count))
        return placed(draw_faces(self.generator, w[:, None].expand(-1, STYLES, -1)), rng, rng.random(count) < 0.5)

    def crops(self, rng: np.random.Generator, count: int, crop: int) -> Tensor:
        """`count` clean squares (N,3,crop,crop), each from a place of its own."""
        faces = self.clean(rng, count)
        corners = rng.integers(0, faces.shape[-1] - crop + 1, (count, 2)).tolist()
        squares = [face[:, r : r + crop, c : c + crop] for face, (r, c) in zip(faces, corners, strict=True)]
        return torch.stack(squares).contiguous(memory_format=torch.channels_last)

    def damaged(self, rng: np.random.Generator, count: int, crop: int | None = None) -> Batch:
        """`count` pairs; with `crop`, squares of that side at one place that is a multiple of 32 px."""
        clean = self.clean(rng, count)
        pair = torch.cat([clean, damage_batch(clean, rng)])
        row, column = 0, 0
        if crop is not None:
            row, column = (int(v) for v in rng.integers(0, (clean.shape[-1] - crop) // 32 + 1, 2))
            pair = pair[..., 32 * row : 32 * row + crop, 32 * column : 32 * column + crop]
        clean, damaged = pair.contiguous(memory_format=torch.channels_last).split(count)
        return Batch(clean, damaged, torch.ones(count, dtype=torch.bool, device=clean.device), (row, column))


class DevicePeople:
    """Makes batches of people, on the generator's device.

    Args:
        generator: draws them.
        recognizer: aligned faces (N,3,S,S) in [0,1] to unit embeddings (N,D), on the same device; it says which
            pictures still show the same person.
        references: of each person.
        wrong: share of references that show another person.
    """

    def __init__(self, generator: Generator, recognizer: nn.Module, references: int = 2, wrong: float = 0.25) -> None:
        self.generator, self.recognizer, self.references, self.wrong = generator, recognizer, references, wrong

    @torch.no_grad()
    def batch(self, rng: np.random.Generator, count: int) -> PeopleBatch:
        """A batch of `count` people, two or more; equal generators of numbers give equal batches."""
        each = self.references
        w = self.generator.people(rng.integers(*PEOPLE, count))
        people = draw_faces(self.generator, w[:, None].expand(-1, STYLES, -1))
        photographs = self._other_photographs(w, people, rng).unflatten(0, (count, each))
        device = people.device

        wrong = rng.random((count, each)) < self.wrong
        away = np.where(wrong, rng.integers(1, count, wrong.shape), 0)
        shown = torch.from_numpy((np.arange(count)[:, None] + away) % count).to(device)
        photographs = photographs[shown, torch.arange(each, device=device)]

        flips = rng.random(count) < 0.5
        clean = placed(people, rng, flips)
        references = move(photographs.flatten(0, 1), draw_moves(rng, flips.repeat(each)).to(device))
        damaged = damage_batch(clean, rng)
        return PeopleBatch(clean, damaged, references.unflatten(0, (count, each)), torch.from_numpy(wrong).to(device))

    def _other_photographs(self, w: Tensor, people: Tensor, rng: np.random.Generator) -> Tensor:
        """`references` other photographs of each person, (N·R,3,S,S); those that fail as one are drawn anew, milder."""
        w, identity = (t.repeat_interleave(self.references, 0) for t in (w, self.recognizer(people)))
        photographs = people.repeat_interleave(self.references, 0)
        missing = torch.arange(len(w), device=w.device)
        for attempt in range(TRIES):
            others = self.generator.people(rng.integers(*OTHERS, len(missing)))
            shares = draw_shares(rng, len(missing), 1 - attempt / TRIES).to(w)
            drawn = draw_faces(self.generator, torch.lerp(w[missing, None], others[:, None], shares[..., None]))
            photographs[missing] = drawn
            missing = missing[(self.recognizer(drawn) * identity[missing]).sum(1) < SAME]
            if len(missing) == 0:
                break
        return photographs


def load_drawing(options: argparse.Namespace) -> Generator:
    """The generator as the options of a stage (:func:`.loop.arguments`) want it, in bfloat16."""
    generator = load_generator(options.assets, device=options.device, dtype=torch.bfloat16)
    return generator.to(memory_format=torch.channels_last)


def in_turn(
    batches: Iterator[Any], make: Callable[[np.random.Generator, int], object], seed: int, start: int
) -> Iterator[Any]:
    """One of `batches` and one that is made here in turn; those made here are numbered from `start`."""
    for i in itertools.count(start):
        yield next(batches)
        yield make(np.random.default_rng((seed, i)), i)


def draw_faces(generator: Generator, styles: Tensor) -> Tensor:
    """Styles (N,23,512) to faces in [0,1]."""
    return torch.cat([(generator(part) / 2 + 0.5).clamp(0, 1) for part in styles.split(CHUNK)])


def placed(faces: Tensor, rng: np.random.Generator, flips: np.ndarray) -> Tensor:
    """Faces (N,3,S,S) moved as a detector would, mirrored where `flips` (N,) says so, a few without their colour."""
    faces = move(faces, draw_moves(rng, flips).to(faces.device))
    return age_batch(faces, torch.from_numpy(rng.random(len(faces), np.float32)).to(faces.device))


def damage_batch(clean: Tensor, rng: np.random.Generator) -> Tensor:
    """Clean faces (N,3,S,S), damaged at severities in training's shares."""
    severities = rng.choice(list(SEVERITY_SHARES), len(clean), p=list(SEVERITY_SHARES.values())).tolist()
    noise = torch.randn(
        clean.shape,
        device=clean.device,
        generator=torch.Generator(clean.device).manual_seed(int(rng.integers(1 << 62))),
    )
    return degrade_batch(clean, draw_damages(rng, severities, clean.shape[-1]).to(clean.device), noise)


def draw_shares(rng: np.random.Generator, count: int, most: float = 1.0) -> Tensor:
    """How much of another's style each modulation gets, (count,23), as :func:`.people.another_photograph` draws it."""
    shares = np.zeros((count, STYLES), np.float32)
    for layers, limit in GROUPS.values():
        shares[:, layers] = rng.uniform(0, limit * most, (count, 1))
    return torch.from_numpy(shares)


def draw_moves(rng: np.random.Generator, flips: np.ndarray) -> Tensor:
    """Small similarities for pictures that are mirrored first where `flips` (N,) says so; (N,2,3) for :func:`move`."""
    count = len(flips)
    moved = rng.random(count) < MOVED
    angles = moved * np.radians(rng.uniform(-DEGREES, DEGREES, count))
    growths = 1 + moved * rng.uniform(-GROWTH, GROWTH, count)
    shifts = moved[:, None] * rng.uniform(-SHIFT, SHIFT, (count, 2))
    return similarities(angles, growths, shifts, flips)


def similarities(angles: np.ndarray, growths: np.ndarray, shifts: np.ndarray, flips: np.ndarray) -> Tensor:
    """Affines (N,2,3), float32, from a moved picture's points to the picture's; both run from -1 to 1, edge to edge.

    Args:
        angles: (N,) by which pictures are turned, counterclockwise to the eye, radians.
        growths: (N,) factors.
        shifts: (N,2) x and y, in halves of the side.
        flips: (N,) bool, mirrored before all else.
    """
    c, s = np.cos(angles) / growths, np.sin(angles) / growths
    linear = np.array([[c, -s], [s, c]]).transpose(2, 0, 1)
    affines = np.concatenate([linear, -linear @ shifts[..., None]], 2)
    affines[flips, 0] *= -1
    return torch.from_numpy(affines.astype(np.float32))


def move(faces: Tensor, affines: Tensor) -> Tensor:
    """Faces (N,3,S,S) in [0,1] seen through (N,2,3) of :func:`similarities`, mirrored at the border."""
    grid = F.affine_grid(affines, list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)
