"""Damaged faces beside the truth, for losses on pictures: drawn people, whose latents are known, and photographs.

A photograph is truth at full size, at half or at a quarter, as it was enlarged. Those that are worn themselves, as the
damage network tells, are none.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..faces.measure import severity_of
from .data import jolted, to_tensor
from .degradation import SEVERITY_SHARES, age
from .drawn import DrawnFaces
from .photographs import MAX_SCALE, read_portraits
from .wear import damage

log = logging.getLogger(__name__)

CELL = 16  # px of the face for one of the latent
PHOTOGRAPHS = 0.4  # of the faces
SHARES = {"london": 0.2, "portraits": 0.15, "members": 0.25, "congress": 0.4}  # of the photographs
HALF_SCALE = 2.3  # above, a photograph is truth at a quarter only
WORN = 0.12  # damage of the most worn photograph that is truth


@dataclass(frozen=True, eq=False)
class Shown:
    """N damaged faces and the truth.

    Attributes:
        damaged, clean: (N,3,S,S) in [0,1].
        size: (N,) 1, 2 or 4: in which part of its size the truth is sharp.
        latents, styles: (N,C,h,w) and (N,L); zero where they are not known.
        known: (N,) bool, whether they are.
        square: row and column of the square that is looked at, in places of the latent; None is all of the face.
    """

    damaged: Tensor
    clean: Tensor
    size: Tensor
    latents: Tensor
    styles: Tensor
    known: Tensor
    square: tuple[int, int] | None

    def __len__(self) -> int:
        return len(self.damaged)

    def to(self, device: str) -> Shown:
        """The same on a device."""
        moved = {name: getattr(self, name).to(device) for name in self.__dataclass_fields__ if name != "square"}
        return replace(self, **moved)


class Truths:
    """The faces that are drawn from.

    Args:
        work: folder of the aligned photographs.
        drawn: people; without them no batch can be made.
        split: of the photographs.
    """

    def __init__(self, work: Path, drawn: DrawnFaces | None, split: str = "train") -> None:
        self.drawn = drawn
        self.pictures, portraits = read_portraits(work)
        self.scales = np.array([p.scale for p in portraits])
        rows = {name: [p.row for p in portraits if p.collection == name and p.split == split] for name in SHARES}
        worn = set(self._worn(work, [row for found in rows.values() for row in found]))
        self.rows = {name: np.array([r for r in found if r not in worn]) for name, found in rows.items()}
        log.info("%s photographs, %d are worn", {n: len(r) for n, r in self.rows.items()}, len(worn))

    def _worn(self, work: Path, rows: list[int]) -> list[int]:
        """Those of the rows that are worn; what was measured is kept in ``WORK/worn.npz``."""
        path = work / "worn.npz"
        known: dict[int, float] = {}
        if path.is_file():
            saved = np.load(path)
            known = dict(zip(saved["rows"].tolist(), saved["damage"].tolist(), strict=True))
        missing = [row for row in rows if row not in known]
        for row in missing:
            known[row] = severity_of(to_tensor([np.array(self.pictures[row])]))[0]
        if missing:
            np.savez(path, rows=np.array(list(known)), damage=np.array(list(known.values())))
        return [row for row in rows if known[row] > WORN]

    def photograph(self, rng: np.random.Generator, sharp: bool) -> tuple[np.ndarray, int]:
        """A photograph, moved a little, and in which part of its size it is truth; `sharp`: at full size."""
        rows = {n: r[self.scales[r] <= MAX_SCALE] if sharp else r for n, r in self.rows.items() if len(r)}
        names = [n for n in rows if len(rows[n])]
        shares = np.array([SHARES[n] for n in names])
        row = int(rng.choice(rows[names[rng.choice(len(names), p=shares / shares.sum())]]))
        return jolted(self.pictures[row], rng), self.part_of(row)

    def part_of(self, row: int) -> int:
        """In which part of its size a photograph is truth: 1, 2 or 4."""
        scale = self.scales[row]
        return 1 if scale <= MAX_SCALE else 2 if scale <= HALF_SCALE else 4

    def batch(self, rng: np.random.Generator, count: int, side: int | None = None) -> Shown:
        """`count` faces in all of training's damage; with `side`, of which a square [places] is looked at.

        Squares are of faces that are truth at full size.
        """
        clean, damaged, sizes, latents, styles, known = [], [], [], [], [], []
        assert self.drawn is not None
        for _ in range(count):
            drawn = self.drawn[int(rng.integers(len(self.drawn)))]
            photograph = rng.random() < PHOTOGRAPHS and any(map(len, self.rows.values()))
            face, size = self.photograph(rng, side is not None) if photograph else (drawn.picture, 1)
            face = np.ascontiguousarray(age(face, rng))
            severity = str(rng.choice(list(SEVERITY_SHARES), p=list(SEVERITY_SHARES.values())))
            clean.append(face)
            damaged.append(damage(face, severity, rng))
            sizes.append(size)
            latents.append(drawn.latent)
            styles.append(drawn.style)
            known.append(not photograph)
        square = None
        if side is not None:
            free = clean[0].shape[0] // CELL - side
            # The mean of two: most squares are of the middle, where the face is.
            row, column = (2 * int(v) for v in rng.integers(0, free // 2 + 1, (2, 2)).sum(0) // 2)
            square = (row, column)
        mask = torch.tensor(known)
        return Shown(
            to_tensor(damaged),
            to_tensor(clean),
            torch.tensor(sizes),
            torch.stack(latents) * mask[:, None, None, None],
            torch.stack(styles) * mask[:, None],
            mask,
            square,
        )
