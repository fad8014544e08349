"""Drawn people whose features and style are known: pictures, latents and styles, stored and growing.

The pictures of :mod:`.faces` are the first; new people are drawn in a slice of the time of whoever trains on them and
appended to ``WORK/drawn_512.u8``. Latents lie beside the pictures, in a file that bears the basis's fingerprint.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from .data import HELD_OUT
from .faces import open_faces
from .generator import Generator
from .generator_basis import SIDE, Basis, one_style

log = logging.getLogger(__name__)

NUMBERS = 1 << 20  # of the first person that is drawn here
CAPACITY = 6000
Batch = TypeVar("Batch", bound=Sized)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A person: picture (512,512,3) uint8, latent (C,32,32) float32, style (512,) float32."""

    picture: np.ndarray
    latent: Tensor
    style: Tensor


class DrawnFaces:
    """All people of a working folder, but those held out; it can grow.

    Args:
        work: folder.
        generator: draws them.
        basis: of their latents.
        draw: a style (1,512) to a picture (512,512,3) uint8; on a CPU :meth:`.faces.FaceGenerator.synthesize` takes a
            third of PyTorch's time.
        capacity: how many may be drawn besides those that were stored by :mod:`.faces`.
        held_out: whether it holds the people held out alone, and does not grow.
    """

    def __init__(
        self,
        work: Path,
        generator: Generator,
        basis: Basis,
        draw: Callable[[np.ndarray], np.ndarray] | None = None,
        capacity: int = CAPACITY,
        held_out: bool = False,
    ) -> None:
        self.generator, self.basis, self.draw = generator, basis, draw
        path = work / "generated_512.u8"
        count = path.stat().st_size // (512 * 512 * 3)
        stored = open_faces(path, count, 512)
        first = count - HELD_OUT if held_out else 0
        rows = range(first, count) if held_out else range(count - HELD_OUT)
        parts = [_Part(stored, _latents(work, "generated", count, basis), list(rows), list(rows))]
        if not held_out:
            drawn = open_faces(work / "drawn_512.u8", capacity, 512)
            known = _filled(drawn)
            numbers = range(NUMBERS, NUMBERS + known)
            latents = _latents(work, "drawn", len(drawn), basis)
            parts.append(_Part(drawn, latents, list(range(known)), list(numbers)))
        self.parts = parts
        self.places = [(part, i) for part in parts for i in range(len(part.rows))]
        numbers_of_all = [part.numbers[i] for part, i in self.places]
        self.styles = list(generator.people(numbers_of_all)) if numbers_of_all else []
        missing = [i for i, (part, j) in enumerate(self.places) if not part.latents[part.rows[j], :, ::8].any()]
        for i in missing:
            part, j = self.places[i]
            part.latents[part.rows[j]] = self._latent(self.styles[i][None])
        log.info("%d people are stored; the latents of %d were missing", len(self.places), len(missing))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Drawn:
        part, j = self.places[i]
        latent = torch.from_numpy(part.latents[part.rows[j]].astype(np.float32))
        return Drawn(part.pictures[part.rows[j]], latent, self.styles[i])

    @torch.no_grad()
    def grow(self) -> bool:
        """Draw one more person; False where there is no room, or nobody who draws."""
        part = self.parts[-1]
        row = len(part.rows)
        if self.draw is None or row == len(part.pictures):
            return False
        number = NUMBERS + row
        w = self.generator.people([number])
        part.latents[row] = self._latent(w)
        part.pictures[row] = self.draw(w.numpy())
        part.rows.append(row)
        part.numbers.append(number)
        self.styles.append(w[0])
        self.places.append((part, row))  # the last, so that another thread never sees half of it
        return True

    @torch.no_grad()
    def _latent(self, w: Tensor) -> np.ndarray:
        return self.basis.to_latent(self.generator.synthesis.features(one_style(w), SIDE))[0].half().numpy()


@dataclass(frozen=True, eq=False)
class _Part:
    """A file of pictures, that of their latents, which rows are people, and those people's numbers."""

    pictures: np.ndarray
    latents: np.ndarray
    rows: list[int]
    numbers: list[int]


def growing(batches: Iterator[Batch], faces: DrawnFaces, share: float) -> Iterator[Batch]:
    """The same batches; between them, people are drawn in a share of the time."""
    spent, began = 0.0, time.monotonic()
    room = share > 0
    for batch in batches:
        yield batch
        while room and spent < share * (time.monotonic() - began):
            before = time.monotonic()
            room = faces.grow()
            spent += time.monotonic() - before


def _latents(work: Path, name: str, count: int, basis: Basis) -> np.ndarray:
    path = work / f"{name}_{basis.fingerprint[:8]}.f16"
    shape = (count, len(basis.components), SIDE, SIDE)
    size = 2 * int(np.prod(shape))
    with path.open("ab") as file:
        if file.tell() < size:
            file.truncate(size)
    return np.memmap(path, np.float16, "r+", shape=shape)


def _filled(pictures: np.ndarray) -> int:
    """How many of the first pictures are there: the last row of each is looked at, which is written last."""
    return next((i for i, picture in enumerate(pictures) if not picture[-1].any()), len(pictures))
