"""Pictures worn as paper, scanners, sites and video wear them (:mod:`.wears`), and faces covered in part.

Fading and lost colour are no damage here but part of the truth: :func:`.degradation.age`.

    python -m resemblance.core.training.wear IN.png OUT.png --kind halftone --seed 1
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from .degradation import degrade
from .wears import COPIES, PRINTS, Wear

MULTIPLE = 16  # of px, that a side has to be


@torch.no_grad()
def wear(picture: np.ndarray, wears: Mapping[str, Wear], rng: np.random.Generator) -> np.ndarray:
    """Wear a picture in one of some ways, by chance; equal generators, equal wear.

    Args:
        picture: (H,W,3) uint8 RGB; one that is no square of a multiple of 16 px is worn as a part of such a square.
        wears: ``PRINTS``, ``COPIES`` or both.
        rng: where all chance comes from.

    Returns:
        (H,W,3) uint8 RGB.
    """
    height, width = picture.shape[:2]
    side = -(-max(height, width) // MULTIPLE) * MULTIPLE
    pixels = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None] / 255
    square = F.pad(pixels, (0, side - width, 0, side - height), mode="replicate")
    worn = list(wears.values())[int(rng.integers(len(wears)))](square, rng)[0, :, :height, :width]
    return (worn * 255).round().byte().permute(1, 2, 0).numpy()


def damage(face: np.ndarray, severity: str, rng: np.random.Generator) -> np.ndarray:
    """Damage as training sees it: :func:`degrade`, three faces in ten worn as a print before or as a copy after."""
    kind = rng.random()
    if kind < 0.15:
        return degrade(wear(face, PRINTS, rng), "light" if kind < 0.08 else "moderate", rng)
    if kind < 0.3:
        return wear(degrade(face, "light" if kind < 0.2 else severity, rng), COPIES, rng)
    return degrade(face, severity, rng)


def occlude(face: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cover a part of a face, truth included, with a soft-edged piece of another picture, as a hand or a scarf would.

    Args:
        face, other: (H,W,3) uint8.
        rng: chooses shape, place and piece.

    Returns:
        (H,W,3) uint8.
    """
    import cv2  # a lent machine does without

    height, width = face.shape[:2]
    mask = np.zeros((height, width), np.float32)
    centre = rng.uniform(0.1, 0.9, 2) * (width, height)
    angles = np.sort(rng.uniform(0, 2 * math.pi, 9))
    reach = rng.uniform(0.06, 0.3) * width * rng.uniform(0.6, 1.3, (9, 1))
    outline = centre + reach * np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.5, 1.5, 2)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1.0, cv2.LINE_AA)
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.8, 3))[..., None]
    rows, columns = (int(v) for v in rng.integers(0, (height, width)))
    piece = np.roll(other, (rows, columns), (0, 1)).astype(np.float32) * rng.uniform(0.5, 1.1)
    return np.clip(face + mask * (piece - face) + 0.5, 0, 255).astype(np.uint8)


def main() -> None:
    """Wear one picture file."""
    import cv2

    kinds = PRINTS | COPIES
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--kind", choices=kinds, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    image = cv2.imread(str(args.picture), cv2.IMREAD_COLOR)
    if image is None:
        parser.error(f"{args.picture} is no picture that can be read")
    kind = {args.kind: kinds[args.kind]}
    worn = wear(np.ascontiguousarray(image[..., ::-1]), kind, np.random.default_rng(args.seed))
    cv2.imwrite(str(args.output), worn[..., ::-1])


if __name__ == "__main__":
    main()
