"""Draws the pictures of the Example Photo node: generated people, a damaged photograph of each and three more pictures.

    python -m resemblance.core.training.examples --out nodes/examples

The people's numbers lie far beyond those of the faces that are trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from .degradation import degrade
from .faces import FaceGenerator
from .judges import Recognizer
from .people import another_photograph, embed

PEOPLE = {"woman": (900003,), "man": (900025,), "two_people": (900009, 900024)}
SEEDS = {"woman": 4, "man": 900025, "two_people": 900009}  # of the damage
RUINED = {"woman": 4, "man": 2}  # seeds of the worst damage, of which references alone bring the person back
SIDE, REFERENCE_SIDE = 640, 512  # px
REFERENCES = 3  # of each person
SAME = 0.6  # ArcFace's cosine from which a picture passes for another photograph of the person
OVERLAP = 96  # px of two people's backgrounds that run into each other
QUALITY = 88


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    args = parser.parse_args()
    generator, recognizer = FaceGenerator(args.assets, 1024), Recognizer("arcface", args.assets)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, people in PEOPLE.items():
        truth = _write(
            args.out / f"{name}_truth.jpg",
            _beside([_resized(generator.synthesize(generator.person(number)), SIDE) for number in people]),
        )
        _write(args.out / f"{name}_damaged.jpg", degrade(truth, "moderate", np.random.default_rng(SEEDS[name])))
        if name in RUINED:
            _write(args.out / f"{name}_ruined.jpg", degrade(truth, "severe", np.random.default_rng(RUINED[name])))
        others = [_references(generator, recognizer, number) for number in people]
        if len(others) > 1:  # one of each, and one that shows them together
            others = [[*(own[0] for own in others), _beside([own[1] for own in others])]]
        for number, picture in enumerate(others[0], 1):
            _write(args.out / f"{name}_reference_{number}.jpg", picture)


def _references(generator: FaceGenerator, recognizer: Recognizer, number: int) -> list[np.ndarray]:
    """Other photographs of a person, the first that pass for one."""
    w = generator.person(number)
    identity = embed(recognizer, _resized(generator.synthesize(w), REFERENCE_SIDE))
    rng = np.random.default_rng(number)
    pictures: list[np.ndarray] = []
    while len(pictures) < REFERENCES:
        other = generator.person(int(rng.integers(1 << 30, 1 << 31)))
        picture = _resized(generator.synthesize(another_photograph(w, other, rng)), REFERENCE_SIDE)
        if float(identity @ embed(recognizer, picture)) >= SAME:
            pictures.append(picture)
    return pictures


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    """Portraits side by side, their edges blended."""
    result = pictures[0].astype(np.float32)
    ramp = np.linspace(0, 1, OVERLAP, dtype=np.float32)[None, :, None]
    for picture in pictures[1:]:
        seam = result[:, -OVERLAP:] * (1 - ramp) + picture[:, :OVERLAP] * ramp
        result = np.concatenate([result[:, :-OVERLAP], seam, picture[:, OVERLAP:]], 1)
    return np.rint(result).astype(np.uint8)


def _write(path: Path, picture: np.ndarray) -> np.ndarray:
    """Write a picture, and give it as it is read back."""
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    again = cv2.imread(str(path))
    assert again is not None, f"{path} was just written"
    return np.ascontiguousarray(again[..., ::-1])


if __name__ == "__main__":
    main()
