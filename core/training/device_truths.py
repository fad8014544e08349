"""Damaged faces beside the truth, made on the device that they are trained on: drawn people and photographs.

The twin of :mod:`.truths` for GPUs: whole faces, no loader, nothing waits for the device, and the shapes are the same
at each step. People are drawn anew each time, and their latents and styles with them. Faces lie in groups: drawn ones,
then photographs that are truth at full size, at a half and at a quarter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .degradation import SEVERITY_SHARES
from .device_data import draw_moves, move
from .device_degradation import age_batch, degrade_batch, draw_damages
from .faces import TRUNCATION
from .generator import Generator
from .generator_basis import SIDE, Basis, one_style
from .wears import COPIES, PRINTS, Wear

CHUNK = 64  # faces drawn at a time
SHARES = {1: 0.26, 2: 0.06, 4: 0.12}  # of a batch: photographs, by the part of their size at which they are truth
TONED = 0.2  # of the faces have other tones
WORN = 0.16  # of the faces are worn before they are damaged, and as many after
KINDS = 2  # of wear, each way, in a batch


@dataclass(frozen=True)
class Counts:
    """How many faces of each group are in a batch."""

    drawn: int
    sharp: int
    half: int
    quarter: int

    @classmethod
    def of(cls, count: int) -> Counts:
        """The shares of a batch of `count`; each group has one face at least."""
        sharp, half, quarter = (max(1, round(share * count)) for share in SHARES.values())
        return cls(max(1, count - sharp - half - quarter), sharp, half, quarter)

    @property
    def full(self) -> int:
        """Faces that are truth at full size; they are the first."""
        return self.drawn + self.sharp

    @property
    def all(self) -> int:
        """Faces in a batch."""
        return self.full + self.half + self.quarter


@dataclass(frozen=True, eq=False)
class DeviceBatch:
    """N damaged faces and the truth, in the groups of :class:`Counts`.

    Attributes:
        damaged, clean: (N,3,S,S) float32 in [0,1].
        latents, styles: (D,C,h,w) and (D,L) of those drawn.
        plain: (D,) float32, 1 where latent and style are the picture's, 0 where its tones were changed.
        counts: faces in each group.
    """

    damaged: Tensor
    clean: Tensor
    latents: Tensor
    styles: Tensor
    plain: Tensor
    counts: Counts

    def __len__(self) -> int:
        return len(self.clean)


class DeviceTruths:
    """Makes batches.

    Args:
        generator, basis: draw people and say their latents; on one device.
        photographs: {part of its size at which it is truth: (M,3,s,s) uint8}.
    """

    def __init__(self, generator: Generator, basis: Basis, photographs: Mapping[int, Tensor]) -> None:
        self.generator, self.basis = generator, basis
        self.device = generator.mean.device
        self.photographs = {part: photographs[part].to(self.device) for part in SHARES}

    @torch.no_grad()
    def people(self, chance: torch.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """`count` people as the generator draws them: faces (N,3,S,S) in [0,1], latents and styles."""
        mean = self.generator.mean
        z = torch.randn(count, mean.shape[1], device=self.device, generator=chance)
        psi = torch.rand(count, 1, device=self.device, generator=chance)
        w = mean + (TRUNCATION[0] + psi * (TRUNCATION[1] - TRUNCATION[0])) * (self.generator.mapping(z) - mean)
        faces, latents = [], []
        for part in w.split(CHUNK):
            styles = one_style(part)
            features = self.generator.synthesis.features(styles, SIDE)
            latents.append(self.basis.to_latent(features))
            faces.append((self.generator.synthesis.finish(features, styles) / 2 + 0.5).clamp(0, 1))
        return torch.cat(faces), torch.cat(latents), w

    @torch.no_grad()
    def batch(self, rng: np.random.Generator, counts: Counts) -> DeviceBatch:
        """A batch; equal generators of numbers give equal batches."""
        chance = torch.Generator(self.device).manual_seed(int(rng.integers(1 << 62)))
        faces, latents, styles = self.people(chance, counts.drawn)
        side = faces.shape[-1]
        groups = [
            self._photographs(rng, part, count, side)
            for part, count in zip(SHARES, (counts.sharp, counts.half, counts.quarter), strict=True)
        ]
        toned = rng.random(counts.all) < TONED
        clean = self._toned(torch.cat([faces, *groups]), toned, rng)
        plain = torch.from_numpy((~toned[: counts.drawn]).astype(np.float32)).to(self.device, non_blocking=True)
        return DeviceBatch(self.damage(clean, rng, chance), clean, latents, styles, plain, counts)

    def _photographs(self, rng: np.random.Generator, part: int, count: int, side: int) -> Tensor:
        """Photographs (count,3,side,side), mirrored and moved as a detector would."""
        stored = self.photographs[part]
        rows = torch.from_numpy(rng.integers(len(stored), size=count)).to(self.device, non_blocking=True)
        faces = stored[rows].float() / 255
        if faces.shape[-1] != side:
            faces = F.interpolate(faces, size=(side, side), mode="bicubic", align_corners=False).clamp(0, 1)
        return move(faces, draw_moves(rng, rng.random(count) < 0.5).to(self.device, non_blocking=True))

    def _toned(self, faces: Tensor, toned: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Faces whose tones are changed where `toned` (N,) says so: grey, sepia, faded, other white or gamma.

        Such tones are no damage: they are the truth's.
        """
        count = len(faces)
        kinds = np.where(toned, rng.random(count), 1.0)
        grey = kinds < 0.45
        faded = (kinds >= 0.45) & (kinds < 0.7)
        other = (kinds >= 0.7) & toned
        black = faded[:, None] * rng.uniform(0, 90, (count, 3)) / 255
        white = np.where(faded[:, None], rng.uniform(190, 255, (count, 3)) / 255, 1.0)
        balance = np.where(other[:, None], rng.uniform(0.8, 1.0, (count, 3)), 1.0)
        gamma = np.where(other, np.exp(rng.uniform(-0.35, 0.35, count)), 1.0)
        gain, lift, power = (
            torch.from_numpy(x.astype(np.float32)).to(self.device, non_blocking=True)
            for x in ((white - black) * balance, black, gamma)
        )
        ages = np.where(grey, rng.uniform(0, 0.12, count), 1.0).astype(np.float32)
        faces = age_batch(faces, torch.from_numpy(ages).to(self.device, non_blocking=True))
        faces = faces.clamp(1e-4, 1).pow(power[:, None, None, None])
        return lift[..., None, None] + gain[..., None, None] * faces

    def damage(self, clean: Tensor, rng: np.random.Generator, chance: torch.Generator) -> Tensor:
        """Faces (N,3,S,S) in all of training's damage: some worn before it, some after."""
        count = len(clean)
        each = max(1, round(WORN * count / KINDS))
        order = rng.permutation(count)
        severities = rng.choice(list(SEVERITY_SHARES), count, p=list(SEVERITY_SHARES.values()))
        before, after = order[: KINDS * each], order[max(0, count - KINDS * each) :]
        mild = rng.random(count)
        severities[before] = np.where(mild[before] < 0.53, "light", "moderate")
        severities[after] = np.where(mild[after] < 0.33, "light", severities[after])
        image = self._worn(clean, before, PRINTS, rng)
        noise = torch.randn(clean.shape, device=self.device, generator=chance)
        damages = draw_damages(rng, severities.tolist(), clean.shape[-1]).to(self.device)
        return self._worn(degrade_batch(image, damages, noise), after, COPIES, rng)

    def _worn(self, faces: Tensor, rows: np.ndarray, wears: Mapping[str, Wear], rng: np.random.Generator) -> Tensor:
        """Faces of which `rows` are worn, in as many ways as a batch has."""
        worn = faces.clone()
        names = rng.choice(list(wears), KINDS, replace=False)
        for name, part in zip(names, np.array_split(rows, KINDS), strict=True):
            if len(part):
                index = torch.from_numpy(part).to(self.device, non_blocking=True)
                worn[index] = wears[str(name)](faces[index], rng)
        return worn
