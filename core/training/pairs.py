"""Damaged faces with references: generated people, real pairs, and faces bent into references of themselves.

A reference is another photograph of the person (generated: :mod:`.people`; real: London's and LFW's), or the face
itself before it was bent by a smooth field and its colours changed: then what is to be found where is known everywhere,
and real photographs of people who have but one can teach too. Known places are given as points: landmarks or samples of
the field. Batch `i` depends on the seed and on `i` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from .data import HELD_OUT, PHOTOGRAPHS, to_tensor
from .degradation import age
from .faces import open_faces
from .landmarks import read_landmarks
from .photographs import MAX_SCALE, read_portraits
from .squares import SIDE as SQUARE
from .squares import Place
from .wear import damage

SIDE, PLACES = 512, 32  # of a face in px and of its latent
POINTS = 106
KINDS = {"itself": 0.3, "generated": 0.35, "london": 0.15, "lfw": 0.2}
REAL = ("london", "lfw")
SEVERITY_SHARES = {"light": 0.05, "moderate": 0.35, "severe": 0.6}
BEND = 22.0  # px, the most that a field of a bent face moves a place (standard deviation)


@dataclass(frozen=True, eq=False)
class Trial:
    """N damaged faces with R references each.

    Attributes:
        clean, damaged: (N,3,512,512) in [0,1].
        references: (N,R,3,512,512) in [0,1].
        right: (N,R) bool, whether they are of the same person.
        sharp: (N,) bool, whether `clean` is truth at full size.
        here, there: (N,R,106,2) in [-1,1], places of the clean face and where they are in the reference; NaN unknown.
        square: row and column of the latent where the part begins that is to be drawn; None is the whole face.
    """

    clean: Tensor
    damaged: Tensor
    references: Tensor
    right: Tensor
    sharp: Tensor
    here: Tensor
    there: Tensor
    square: Place | None = None

    def __len__(self) -> int:
        return len(self.clean)

    def to(self, device: str) -> Trial:
        """The same on a device."""
        clean, damaged, references, right, sharp, here, there = (
            x.to(device)
            for x in (self.clean, self.damaged, self.references, self.right, self.sharp, self.here, self.there)
        )
        return Trial(clean, damaged, references, right, sharp, here, there, self.square)


@dataclass(frozen=True, eq=False)
class Shot:
    """A photograph of somebody: uint8 (512,512,3), landmarks (106,2) [px], whether it is truth at full size."""

    face: np.ndarray
    points: np.ndarray
    sharp: bool


class PairPool:
    """Everybody who may be trained on, with all photographs of each."""

    def __init__(self, work: Path) -> None:
        people = (work / "generated_512.u8").stat().st_size // (SIDE * SIDE * 3) - HELD_OUT
        self.generated = open_faces(work / "generated_512.u8", people, SIDE)
        self.references = open_faces(work / "references_512.u8", PHOTOGRAPHS * people, SIDE)
        self.photographs, portraits = read_portraits(work)
        self.points = {name: read_landmarks(work, name) for name in ("generated", "references", "photographs")}
        train = [p for p in portraits if p.split == "train"]
        self.scales = np.array([p.scale for p in portraits])
        known = np.isfinite(self.points["photographs"][:, 0, 0])
        by_person: dict[str, dict[str, list[int]]] = {name: {} for name in REAL}
        for p in train:
            if p.collection in REAL and known[p.row]:
                by_person[p.collection].setdefault(p.person, []).append(p.row)
        self.real = {name: [rows for rows in found.values() if len(rows) > 1] for name, found in by_person.items()}
        self.alone = np.array([p.row for p in train if p.collection != "lfw"])
        self.sharp = np.array([row for row in self.alone if self.scales[row] <= MAX_SCALE])
        drawn = np.isfinite(self.points["references"][:, 0, 0])
        drawn = drawn[: PHOTOGRAPHS * people].reshape(-1, PHOTOGRAPHS)
        self.paired = np.flatnonzero(drawn.any(1)[:people])

    def shots(self, kind: str, person: int) -> list[Shot]:
        """All photographs of a person: number of ``paired``, or of a collection's people."""
        if kind == "generated":
            i = int(self.paired[person])
            rows = [PHOTOGRAPHS * i + j for j in range(PHOTOGRAPHS)]
            points = self.points["references"]
            others = [Shot(self.references[r], points[r], True) for r in rows if np.isfinite(points[r, 0, 0])]
            return [Shot(self.generated[i], self.points["generated"][i], True), *others]
        return [self._photograph(row) for row in self.real[kind][person]]

    def people(self, kind: str) -> int:
        """How many people there are of a kind."""
        return len(self.paired) if kind == "generated" else len(self.real[kind])

    def single(self, rng: np.random.Generator, sharp_only: bool = False) -> Shot:
        """Any photograph of somebody who has but one, or London's: half of them real."""
        if rng.random() < 0.5:
            i = int(rng.integers(len(self.generated)))
            return Shot(self.generated[i], self.points["generated"][i], True)
        return self._photograph(int(rng.choice(self.sharp if sharp_only else self.alone)))

    def _photograph(self, row: int) -> Shot:
        return Shot(self.photographs[row], self.points["photographs"][row], bool(self.scales[row] <= MAX_SCALE))


def trial(
    pool: PairPool, rng: np.random.Generator, count: int, references: int, wrong: float = 0.0, square: bool = False
) -> Trial:
    """`count` damaged faces with `references` each, of which a share `wrong` are of other people.

    With `square` a part of each is to be drawn, the same of all, and all are truth at full size.
    """
    rows: list[tuple[Any, ...]] = []
    kinds = [k for k in KINDS if k == "itself" or (pool.people(k) and not (square and k == "lfw"))]
    shares = np.array([KINDS[k] for k in kinds])
    for _ in range(count):
        kind = str(rng.choice(kinds, p=shares / shares.sum()))
        if kind == "itself":
            truth, others = _bent(pool.single(rng, square), rng, references)
        else:
            shots = pool.shots(kind, int(rng.integers(pool.people(kind))))
            first = int(rng.integers(len(shots)))
            truth, rest = shots[first], [s for k, s in enumerate(shots) if k != first]
            others = [(rest[k % len(rest)], truth.points, rest[k % len(rest)].points) for k in range(references)]
        mirrored = bool(rng.random() < 0.5)
        clean, move = _placed(truth.face, mirrored, rng)
        clean = age(clean, rng)
        pictures, right, here, there = [], [], [], []
        for shot, at, to in others:
            same = bool(rng.random() >= wrong)
            if not same:
                shot = _stranger(pool, rng)
                at, to = at * np.nan, at * np.nan  # nothing of a stranger's is to be found
            picture, shift = _placed(shot.face, mirrored, rng)
            pictures.append(_taken_otherwise(picture, rng))
            right.append(same)
            here.append(_moved(at, move))
            there.append(_moved(to, shift))
        severity = str(rng.choice(list(SEVERITY_SHARES), p=list(SEVERITY_SHARES.values())))
        rows.append((clean, damage(clean, severity, rng), pictures, right, truth.sharp, here, there))
    faces, damaged, shown, rights, sharp, places, matches = (list(column) for column in zip(*rows, strict=True))
    return Trial(
        to_tensor(faces),
        to_tensor(damaged),
        torch.stack([to_tensor(pictures) for pictures in shown]),
        torch.tensor(rights),
        torch.tensor(sharp),
        torch.from_numpy(np.array(places, np.float32)),
        torch.from_numpy(np.array(matches, np.float32)),
        tuple(int(v) for v in rng.integers(0, PLACES - SQUARE + 1, 2)) if square else None,  # type: ignore[arg-type]
    )


def _stranger(pool: PairPool, rng: np.random.Generator) -> Shot:
    kind = "generated" if rng.random() < 0.7 else "london"
    shots = pool.shots(kind, int(rng.integers(pool.people(kind))))
    return shots[int(rng.integers(len(shots)))]


def _bent(shot: Shot, rng: np.random.Generator, references: int) -> tuple[Shot, list[Any]]:
    """A face seen through a smooth field at random points, and itself as its references: (shot, here, there) each."""
    coarse = rng.standard_normal((int(rng.integers(3, 7)),) * 2 + (2,)).astype(np.float32) * rng.uniform(0.2, 1) * BEND
    field = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    face = cv2.remap(
        np.asarray(shot.face), x + field[..., 0], y + field[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    at = rng.uniform(40, SIDE - 40, (POINTS, 2)).astype(np.float32)
    rows, columns = np.rint(at[:, 1]).astype(int), np.rint(at[:, 0]).astype(int)
    at = np.stack([columns, rows], 1).astype(np.float32)
    to = at + field[rows, columns]
    return Shot(face, at, shot.sharp), [(shot, at, to)] * references


def _placed(face: np.ndarray, mirrored: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A face, mirrored or not, moved a little as a detector would; and the 2x3 matrix that places moved by."""
    matrix = np.array([[1, 0, 0], [0, 1, 0]], np.float64)
    if rng.random() < 0.6:
        matrix = cv2.getRotationMatrix2D((255.5, 255.5), rng.uniform(-6, 6), rng.uniform(0.92, 1.08))
        matrix[:, 2] += rng.uniform(-9, 9, 2)
    if mirrored:
        matrix = matrix @ np.array([[-1, 0, SIDE - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    moved = cv2.warpAffine(
        np.ascontiguousarray(face), matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return moved, matrix


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Places [px] through a matrix, in [-1,1]."""
    return ((points @ matrix[:, :2].T + matrix[:, 2]) * 2 + 1) / SIDE - 1


def _taken_otherwise(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other light, colours and, now and then, a little less sharp: as another camera would have it."""
    x = face.astype(np.float32) / 255
    x = x ** rng.uniform(0.8, 1.25) * rng.uniform(0.85, 1.15, 3).astype(np.float32)
    if rng.random() < 0.25:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.5, 1.5))
    if rng.random() < 0.1:
        x = np.repeat(x.mean(-1, keepdims=True), 3, -1)
    return np.clip(x * 255 + 0.5, 0, 255).astype(np.uint8)
