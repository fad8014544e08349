"""What paper, scanners, sites and video do to photographs beyond blur, shrinking, noise and JPEG.

A print is worn (halftone, scratches and dust, film grain), then copied (shrunk and enlarged time and again, JPEG twice,
the blocks of old video). Fading and lost colour are no damage here but part of the truth: :func:`.degradation.age`.

    python -m resemblance.core.training.wear IN.png OUT.png --kind halftone --seed 1
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

Wear = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _jpeg(face: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def halftone(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Printed as a screen of dots: of grey mostly, else one turned by 30° for each colour; then a little ink spread."""
    height, width = face.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    period, angle, hardness = rng.uniform(3.5, 9), rng.uniform(0, math.pi), rng.uniform(3, 9)
    ink = face.astype(np.float32) / 255
    if rng.random() < 0.7:
        ink = cv2.cvtColor(ink, cv2.COLOR_RGB2GRAY)[..., None]
    dots = []
    for channel in range(ink.shape[-1]):
        turn = angle + channel * math.pi / 6
        u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        screen = 0.5 + 0.25 * (np.cos(2 * math.pi * u / period) + np.cos(2 * math.pi * v / period))
        dots.append(1 / (1 + np.exp(hardness * (screen - ink[..., channel]) * 2)))
    printed = cv2.GaussianBlur(np.stack(dots, -1), (0, 0), rng.uniform(0.5, 1.2)).reshape(*ink.shape)
    return _bytes(face + 255 * rng.uniform(0.5, 1) * (printed - ink))


def scratches(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thin lines, a fold or two and specks of dust, light or dark, laid over the picture."""
    height, width = face.shape[:2]
    layer = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(2, 14))):
        start = rng.uniform(0, 1, 2) * (width, height)
        steps = rng.normal(0, 1, (int(rng.integers(3, 9)), 2)) + rng.normal(0, 3, 2)
        line = start + np.cumsum(steps * rng.uniform(4, 25), 0)
        cv2.polylines(
            layer, [np.rint(line).astype(np.int32)], False, rng.uniform(0.3, 1), int(rng.integers(1, 4)), cv2.LINE_AA
        )
    for _ in range(int(rng.integers(0, 50))):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(layer, at, int(rng.integers(1, 4)), rng.uniform(0.3, 1), -1, cv2.LINE_AA)
    if rng.random() < 0.5:
        ends = np.rint(rng.uniform(-0.2, 1.2, (2, 2)) * (width, height)).astype(np.int32)
        fold = np.zeros_like(layer)
        cv2.polylines(fold, [ends], False, 1.0, int(rng.integers(3, 12)), cv2.LINE_AA)
        layer = np.maximum(layer, cv2.GaussianBlur(fold, (0, 0), 2) * rng.uniform(0.3, 0.9))
    layer = cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.4, 1))[..., None]
    tone = np.float32(rng.uniform(190, 255) if rng.random() < 0.7 else rng.uniform(0, 60))
    return _bytes(face + layer * (tone - face))


def grain(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clumped noise, strongest in the middle tones, the same in all colours."""
    noise = cv2.GaussianBlur(rng.standard_normal(face.shape[:2], np.float32), (0, 0), rng.uniform(0.5, 2))
    noise *= rng.uniform(8, 35) / noise.std()
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    return _bytes(face + (noise * (0.35 + 2.6 * grey * (1 - grey)))[..., None])


def resampled(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shrunk and enlarged two or three times, each by another method, and sharpened between."""
    height, width = face.shape[:2]
    methods = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4)
    for _ in range(int(rng.integers(2, 4))):
        factor = rng.uniform(0.25, 0.9)
        small = (max(8, round(width * factor)), max(8, round(height * factor)))
        face = cv2.resize(face, small, interpolation=int(rng.choice(methods)))
        if rng.random() < 0.5:
            picture = face.astype(np.float32)
            soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.7, 2))
            face = _bytes(picture + rng.uniform(0.3, 1.5) * (picture - soft))
        face = cv2.resize(face, (width, height), interpolation=int(rng.choice(methods[1:3])))
    return face


def jpeg_twice(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compressed, cut by a few pixels, compressed again: two grids of blocks."""
    height, width = face.shape[:2]
    top, left = (int(v) for v in rng.integers(0, 8, 2))
    padded = cv2.copyMakeBorder(face, top, 8, left, 8, cv2.BORDER_REPLICATE)
    first = _jpeg(padded, int(rng.integers(12, 60)))[top : top + height, left : left + width]
    return _jpeg(np.ascontiguousarray(first), int(rng.integers(15, 70)))


def video_blocks(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A frame of old video: small, a little shaken, its blocks coarse and its colours coarser."""
    height, width = face.shape[:2]
    factor = rng.uniform(1.5, 4.5)
    picture = cv2.resize(face, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    length = int(rng.integers(1, 4))
    picture = cv2.blur(picture, (length, 1) if rng.random() < 0.5 else (1, length))
    picture = _jpeg(picture, int(rng.integers(8, 35)))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


PRINTS: dict[str, Wear] = {"halftone": halftone, "scratches": scratches, "grain": grain}
COPIES: dict[str, Wear] = {"resampled": resampled, "jpeg_twice": jpeg_twice, "video_blocks": video_blocks}


def wear(face: np.ndarray, wears: dict[str, Wear], rng: np.random.Generator) -> np.ndarray:
    """Wear a picture (H,W,3) uint8 RGB in one of the ways of ``PRINTS`` or ``COPIES``; equal generators, equal wear."""
    return list(wears.values())[int(rng.integers(len(wears)))](face, rng)


def occlude(face: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cover a part of a face, truth included, with a soft-edged piece of another picture, as a hand or a scarf would.

    Args:
        face, other: (H,W,3) uint8.
        rng: chooses shape, place and piece.

    Returns:
        (H,W,3) uint8.
    """
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
    return _bytes(face + mask * (piece - face))


def main() -> None:
    """Wear one picture file."""
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
    worn = kinds[args.kind](np.ascontiguousarray(image[..., ::-1]), np.random.default_rng(args.seed))
    cv2.imwrite(str(args.output), worn[..., ::-1])


if __name__ == "__main__":
    main()
