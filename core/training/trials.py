"""Damaged faces beside clean photographs, of the same person and of others: what telling people apart is measured on.

A trial is one damaged face, cut out as a detector would that sets its landmarks a little off, and measured as the
product measures it. Calibration is fitted on the LFW people of the train split that :mod:`.embedding` never sees, and
checked on validation people. The crops are kept, so that every embedder sees the same ones.

    python -m resemblance.core.training.trials --work WORK
"""

from __future__ import annotations

import argparse
import logging
import zlib
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..faces.crop import crop_faces
from ..faces.measure import measure_quality
from ..geometry import template
from ..models.embedding import RecognitionCrop
from ..records import Crops, Face, FaceQuality
from .data import to_tensor
from .degradation import degrade
from .embedding import for_calibration, small
from .photographs import Portrait, read_portraits

log = logging.getLogger(__name__)

GROUPS = ("calibration", "wild", "lfw", "london")
DAMAGES = ("clean", "light", "moderate", "severe", "small")
OFF = 4.0  # px of 512: how far each landmark is set off, times two where damage is severe or the face is small
EMBEDDED = 32  # crops at a time
Embed = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Trials:
    """P photographs of people who have two or more.

    Attributes:
        person: (P,) numbers.
        clean: (P,3,112,112) crops of the photographs as they are, in [0,1].
        damaged: {damage: (P,3,112,112)}, ``"clean"`` too: cut out by landmarks that are a little off.
        quality: {damage: P measurements}.
    """

    person: Tensor
    clean: Tensor
    damaged: dict[str, Tensor]
    quality: dict[str, list[FaceQuality]]

    def __len__(self) -> int:
        return len(self.person)

    def embedded(self, embed: Embed, damages: Sequence[str] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The clean photographs (P,D), and the damaged faces {damage: (P,D)}, by (n,3,112,112) → (n,D).

        Args:
            embed: of crops.
            damages: which ones; None is all.
        """

        @torch.no_grad()
        def each(crops: Tensor) -> Tensor:
            return torch.cat([embed(part.float()) for part in crops.split(EMBEDDED)])

        return each(self.clean), {
            damage: each(self.damaged[damage]) for damage in (self.damaged if damages is None else damages)
        }


def read_trials(work: Path, group: str) -> Trials:
    """The trials of one of ``GROUPS``: made when first asked for, then read from ``work``.

    ``"calibration"`` is train people whom no embedder was trained on; the others are of the validation split.
    """
    path = work / f"trials_{group}.safetensors"
    if not path.is_file():
        save_file(_make(*_people(work, group)), path)
    kept = load_file(path)
    return Trials(
        kept["person"],
        kept["crops.as it is"],
        {damage: kept[f"crops.{damage}"] for damage in DAMAGES},
        {damage: [FaceQuality(*row) for row in kept[f"quality.{damage}"].tolist()] for damage in DAMAGES},
    )


def cut_out(face: np.ndarray, damage: str, seed: int) -> Crops:
    """An aligned photograph (512,512,3) damaged, found again by landmarks a little off, and cropped."""
    rng = np.random.default_rng(seed)
    photo = np.array(face)
    if damage == "small":
        photo = small(photo, rng, back=False)
    elif damage != "clean":
        photo = degrade(photo, damage, rng)
    off = rng.normal(0, OFF * (2 if damage in ("severe", "small") else 1), (5, 2)) * (len(photo) / 512)
    points = (template(len(photo)).numpy() + off).tolist()
    side = float(len(photo))
    found = Face(0, 0, (0.0, 0.0, side, side), 1.0, tuple((x, y) for x, y in points))
    return crop_faces(to_tensor([photo]), [found])


def _people(work: Path, group: str) -> tuple[np.ndarray, list[Portrait]]:
    """The array of all aligned faces, and the photographs of a group's people who have two or more."""
    faces, portraits = read_portraits(work)
    if group == "calibration":
        chosen = [p for p in portraits if p.split == "train" and for_calibration(p.person)]
    else:
        chosen = [p for p in portraits if p.split == "val" and p.collection == group]
    counts: dict[str, int] = {}
    for p in chosen:
        counts[p.person] = counts.get(p.person, 0) + 1
    return faces, sorted((p for p in chosen if counts[p.person] > 1), key=lambda p: (p.person, p.path))


def _make(faces: np.ndarray, photos: Sequence[Portrait]) -> dict[str, Tensor]:
    """What :func:`read_trials` keeps; the damage of a photograph depends on its path alone."""
    cv2.setNumThreads(1)
    crop = RecognitionCrop()
    people = {name: n for n, name in enumerate(dict.fromkeys(p.person for p in photos))}
    rows: dict[str, list[Tensor]] = {"person": [torch.tensor([people[p.person]]) for p in photos]}
    for n, photo in enumerate(photos):
        rows.setdefault("crops.as it is", []).append(crop(to_tensor([faces[photo.row]])).half())
        for damage in DAMAGES:
            crops = cut_out(faces[photo.row], damage, zlib.crc32(f"{photo.path} {damage}".encode()))
            rows.setdefault(f"crops.{damage}", []).append(crop(crops.pixels).half())
            measured = torch.tensor([astuple(quality) for quality in measure_quality(crops)])
            rows.setdefault(f"quality.{damage}", []).append(measured)
        if n % 50 == 49:
            log.info("%d of %d photographs", n + 1, len(photos))
    return {name: torch.cat(parts) for name, parts in rows.items()}


def main() -> None:
    """Make the trials of all groups."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder with the aligned photographs")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    for group in GROUPS:
        log.info("%s: %d photographs", group, len(read_trials(args.work, group)))


if __name__ == "__main__":
    main()
