"""Other photographs of the generated people: references for the faces that :mod:`.faces` drew.

Two for each person, `WORK/references_512.u8` with row 2·i + j for photograph j of person i. Their styles are mixed with
another person's, layer by layer (which layers do what: see ``GROUPS``), and kept where a face-recognition network still
takes both for one person; its embeddings of the faces and of their references are stored beside them.

    python -m resemblance.core.training.people --work WORK
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .data import PHOTOGRAPHS, to_tensor
from .faces import STYLES, FaceGenerator, open_faces
from .judges import Recognizer

log = logging.getLogger(__name__)

SAME = 0.5  # cosine from which two faces pass for one person, about the least of real pairs in the wild
TRIES = 4
# Modulations, and how much of another person's style is mixed in at most: what makes a person is left alone.
GROUPS = {
    "pose, hair, glasses": (slice(0, 4), 0.8),
    "expression, shape": (slice(4, 7), 0.8),
    "features": (slice(7, 10), 0.2),
    "background, light": (slice(10, 16), 1.0),
    "colour": (slice(16, STYLES), 1.0),
}


def another_photograph(w: np.ndarray, other: np.ndarray, rng: np.random.Generator, most: float = 1.0) -> np.ndarray:
    """Styles (23,512) of the person with style `w` (1,512) in the manner of `other` (1,512), mixed by up to `most`."""
    styles = np.repeat(w, STYLES, 0)
    for layers, limit in GROUPS.values():
        share = rng.uniform(0, limit * most)
        styles[layers] += share * (other - w)
    return styles


def draw_references(generator: FaceGenerator, recognizer: Recognizer, work: Path, count: int) -> None:
    """Draw the references of the first `count` people that are still missing."""
    people = open_faces(work / "generated_512.u8", count, 512)
    references = open_faces(work / "references_512.u8", PHOTOGRAPHS * count, 512)
    for j in range(PHOTOGRAPHS):
        for i in range(count):
            if references[PHOTOGRAPHS * i + j, ::64].any() or not people[i, ::64].any():
                continue
            rng = np.random.default_rng((i, j))
            identity = embed(recognizer, people[i])
            for attempt in range(TRIES):
                other = generator.person(int(rng.integers(1 << 30, 1 << 31)))
                styles = another_photograph(generator.person(i), other, rng, 1 - attempt / TRIES)
                face = generator.synthesize(styles)
                if float(identity @ embed(recognizer, face)) >= SAME:
                    references[PHOTOGRAPHS * i + j] = face
                    break
            if i % 100 == 99:
                log.info("%d of %d people, photograph %d", i + 1, count, j + 1)


@torch.inference_mode()
def embed(recognizer: Recognizer, face: np.ndarray) -> Tensor:
    """Unit embedding of one aligned face, uint8 (512,512,3)."""
    return recognizer(to_tensor([face]))[0]


def main() -> None:
    """Draw what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the generated faces")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--count", type=int, default=2553)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    draw_references(FaceGenerator(args.assets), Recognizer("arcface", args.assets), args.work, args.count)


if __name__ == "__main__":
    main()
