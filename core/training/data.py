"""Batches of faces: generated (other photographs of these people, where drawn, among them) and photographed, whole or
cropped, clean beside damaged.

Batch `i` depends on the seed and on `i` alone, so a run that resumes sees what it would have seen.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .degradation import SEVERITY_SHARES, age
from .faces import open_faces
from .photographs import MAX_SCALE, read_portraits
from .wear import damage, occlude

HELD_OUT = 100  # the last generated faces are never trained on
PHOTOGRAPHS = 2  # references of each generated person (see :mod:`.people`)
SHARES = {"generated": 0.44, "references": 0.18, "london": 0.08, "portraits": 0.12, "members": 0.18}
OCCLUDED = 0.06  # of the faces


@dataclass(frozen=True, eq=False)
class Batch:
    """Clean and damaged faces (N,3,S,S) in [0,1], and which of them (N,) are truth at full size."""

    clean: Tensor
    damaged: Tensor
    sharp: Tensor
    origin: tuple[int, int]

    def __len__(self) -> int:
        return len(self.clean)


class FacePool:
    """All training faces: generated ones but the last hundred, and the photographs of the train split."""

    def __init__(self, work: Path) -> None:
        path = work / "generated_512.u8"
        faces = open_faces(path, path.stat().st_size // (512 * 512 * 3), 512)
        self.generated = faces[: len(faces) - HELD_OUT]
        photographs, portraits = read_portraits(work)
        train = [p for p in portraits if p.split == "train"]
        references = open_faces(work / "references_512.u8", PHOTOGRAPHS * len(faces), 512)
        references = references[: PHOTOGRAPHS * len(self.generated)]
        self.arrays = {"generated": self.generated, "references": references}
        self.arrays |= dict.fromkeys(("london", "portraits", "members"), photographs)
        self.rows = {
            "generated": np.arange(len(self.generated)),
            "references": np.flatnonzero(references[:, ::64].any((1, 2, 3))),
        }
        for name in ("london", "portraits", "members"):
            self.rows[name] = np.array([p.row for p in train if p.collection == name])
        self.scales = np.array([p.scale for p in portraits])

    def draw(self, rng: np.random.Generator, sharp_only: bool) -> tuple[np.ndarray, bool]:
        """A clean face, moved a little as a detector would, and whether it is truth at full size."""
        names = [n for n in SHARES if len(self.rows[n]) and not (sharp_only and n == "members")]
        shares = np.array([SHARES[n] for n in names])
        name = names[rng.choice(len(names), p=shares / shares.sum())]
        row = int(rng.choice(self.rows[name]))
        face = self.arrays[name][row]
        sharp = name in ("generated", "references") or self.scales[row] <= MAX_SCALE
        face = jolted(face, rng)
        if rng.random() < OCCLUDED:
            face = occlude(np.ascontiguousarray(face), self.generated[rng.integers(len(self.generated))], rng)
        return age(np.ascontiguousarray(face), rng), sharp


def jolted(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A face (512,512,3) uint8, in half of the cases mirrored, in half moved a little, as a detector would."""
    import cv2

    if rng.random() < 0.5:
        face = face[:, ::-1]
    if rng.random() < 0.5:
        matrix = cv2.getRotationMatrix2D((255.5, 255.5), rng.uniform(-5, 5), rng.uniform(0.92, 1.08))
        matrix[:, 2] += rng.uniform(-10, 10, 2)
        face = cv2.warpAffine(
            np.ascontiguousarray(face), matrix, (512, 512), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
    return face


def damaged_batch(pool: FacePool, rng: np.random.Generator, count: int, crop: int | None) -> Batch:
    """`count` pairs; with `crop`, squares of that side at one place that is a multiple of 32 px."""
    origin = (0, 0) if crop is None else tuple(int(v) for v in rng.integers(0, (512 - crop) // 32 + 1, 2))
    clean, damaged, sharps = [], [], []
    for _ in range(count):
        face, sharp = pool.draw(rng, sharp_only=crop is not None)
        severity = str(rng.choice(list(SEVERITY_SHARES), p=list(SEVERITY_SHARES.values())))
        bad = damage(face, severity, rng)
        if crop is not None:
            r, c = (32 * v for v in origin)
            face, bad = face[r : r + crop, c : c + crop], bad[r : r + crop, c : c + crop]
        clean.append(face)
        damaged.append(bad)
        sharps.append(sharp)
    return Batch(to_tensor(clean), to_tensor(damaged), torch.tensor(sharps), origin)  # type: ignore[arg-type]


def clean_crops(pool: FacePool, rng: np.random.Generator, count: int, crop: int) -> Tensor:
    """`count` clean squares (N,3,crop,crop), each from a place of its own."""
    squares = []
    for _ in range(count):
        face, _ = pool.draw(rng, sharp_only=True)
        r, c = rng.integers(0, 512 - crop + 1, 2)
        squares.append(face[r : r + crop, c : c + crop])
    return to_tensor(squares)


def to_tensor(faces: list[np.ndarray]) -> Tensor:
    """uint8 (H,W,3) pictures to one float32 (N,3,H,W) in [0,1], channels last in memory."""
    return (torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).float() / 255).contiguous(
        memory_format=torch.channels_last
    )


def prefetch(
    make: Callable[[np.random.Generator, int], object], seed: int, start: int, depth: int = 6
) -> Iterator[Any]:
    """Batches `start`, `start` + 1, … made by one thread ahead of their use."""
    import cv2

    ready: queue.Queue[Any] = queue.Queue(depth)

    def handed_over(item: object) -> bool:
        """Wait for room in the queue, unless the program ends."""
        while threading.main_thread().is_alive():
            try:
                ready.put(item, timeout=0.5)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        for i in itertools.count(start):
            try:
                item = make(np.random.default_rng((seed, i)), i)
            except Exception as error:
                item = error
            if not handed_over(item) or isinstance(item, Exception):
                return

    cv2.setNumThreads(1)
    # No daemon: one that is inside OpenCV or PyTorch when the interpreter goes aborts the process.
    threading.Thread(target=work).start()
    while True:
        item = ready.get()
        if isinstance(item, Exception):
            raise item
        yield item
