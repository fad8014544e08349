"""Pictures of what restoration does where there is no truth: historical portraits, and photographs it is bad at.

    python -m resemblance.core.training.gallery --data DATA --show historical --out historical.jpg
    python -m resemblance.core.training.gallery --data DATA --show failures --out failures.jpg

Whole photographs go through the pipeline with its default options, and the largest face is shown before and after, two
photographs in a row. Good photographs are left alone and would show nothing: most of those that restoration is bad at
are made smaller first, are enlarged again by the pipeline, and are shown as they were, too.

The photographs are listed here: those in ``members`` (portraits of members of the US Congress, voteview/member_photos)
are in the public domain, the one in ``portraits`` (a generated person, faker-js/assets-person-portrait) is CC0. The
historical ones show people who are never trained on; of the others some are in the training split.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..faces.detect import Detect, detect_faces, load_detector
from ..faces.paste import PasteOptions
from ..faces.preview import draw_rows
from ..files.images import Photo, read_photo, write_photo
from ..geometry import compose, scaling, warp
from ..loading import Models
from ..pipeline import RestoreOptions, restore_photos
from ..records import Restorer
from ..restorers.table import load_restorer

log = logging.getLogger(__name__)

SIDE = 384  # of a picture [px]
AROUND = 1.7  # side of what is shown, in sides of the face's box
BESIDE = 2  # photographs in a row


@dataclass(frozen=True)
class Case:
    """A photograph: where it lies in the data, what it is, and how many times smaller it is made before."""

    path: str
    words: str
    shrink: int = 1


CASES = {
    "historical": (
        Case("members/004873.jpg", "soft, faded print"),
        Case("members/007932.jpg", "small, sepia, specks"),
        Case("members/006811.jpg", "cracked"),
        Case("members/010554.jpg", "rough paper"),
        Case("members/003270.jpg", "halftone"),
        Case("members/007884.jpg", "worn copy"),
    ),
    "failures": (
        Case("members/007495.jpg", "profile", 4),
        Case("members/001720.jpg", "hand at the face", 3),
        Case("members/007222.jpg", "dark glasses", 5),
        Case("portraits/female_98.jpg", "tiny face", 6),
        Case("members/001353.jpg", "drawing", 4),
        Case("members/004973.jpg", "engraving", 4),
        Case("members/001463.jpg", "bronze relief", 6),
        Case("members/002343.jpg", "painting", 4),
    ),
}


def show(cases: tuple[Case, ...], data: Path, restorer: Restorer, detect: Detect) -> Tensor:
    """Restore the photographs and draw their faces, (3,H,W) in [0,1]."""
    pictures: list[list[tuple[Tensor, str]]] = []
    for number, case in enumerate(cases):
        if number % BESIDE == 0:
            pictures.append([])
        pictures[-1] += before_and_after(case, read_photo(data / case.path).pixels, restorer, detect)
    return draw_rows(pictures, SIDE)


def before_and_after(case: Case, photo: Tensor, restorer: Restorer, detect: Detect) -> list[tuple[Tensor, str]]:
    """The largest face of a photograph (3,H,W) before and after, and as it was where it was made smaller."""
    words, given = case.words, photo
    if case.shrink > 1:
        side = photo.shape[1] // case.shrink, photo.shape[2] // case.shrink
        given = warp(photo, scaling(1 / case.shrink), side).clamp(0, 1)
        words += f", 1/{case.shrink}"
    result = restore_photos(
        given[None], Models(restorer), detect, RestoreOptions(paste=PasteOptions(scale=case.shrink))
    )
    box = (0.0, 0.0, given.shape[2] - 1.0, given.shape[1] - 1.0)
    outcome = "no face found"
    if result.faces:
        report = max(result.faces, key=lambda r: r.face.box[2] - r.face.box[0])
        box = report.face.box
        outcome = f"restored, strength {report.restored.blend:.2f}" if report.restored else "left alone"
    log.info("%s (%s): %s", case.path, words, outcome)
    before, after = (_around(given, box), words), (_around(result.pixels[0], box, case.shrink), outcome)
    return [before, after] if case.shrink == 1 else [before, after, (_around(photo, box, case.shrink), "as it was")]


def _around(photo: Tensor, box: tuple[float, float, float, float], scale: int = 1) -> Tensor:
    """A square of a photograph around a box of one `scale` times smaller, as far as it reaches: (3,SIDE,SIDE)."""
    x0, y0, x1, y1 = (scale * v for v in box)
    height, width = photo.shape[1:]
    side = min(AROUND * max(x1 - x0, y1 - y0), height, width)
    left = min(max((x0 + x1 - side) / 2, 0), width - side)
    top = min(max((y0 + y1 - side) / 2, 0), height - side)
    shift = torch.tensor([[1, 0, -left], [0, 1, -top]], dtype=torch.float64)
    return warp(photo, compose(scaling(SIDE / side), shift), (SIDE, SIDE)).clamp(0, 1)


def main() -> None:
    """Draw one of the lists."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with members and portraits")
    parser.add_argument("--show", choices=CASES, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    parser.add_argument("--weights", type=Path, help="a restorer (default: the shipped one)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    detect = partial(detect_faces, backend=load_detector("built-in"))
    write_photo(args.out, Photo(show(CASES[args.show], args.data, load_restorer(args.weights), detect)), 92)


if __name__ == "__main__":
    main()
