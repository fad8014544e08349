"""Folds, scratches, fibres, dust, lost emulsion, tears and ink, drawn on pictures so that it is known where they lie.

Unlike :mod:`.wears`, which wears batches on any device for the restorer, this draws one small picture on the CPU in a
few milliseconds: a small network sees many. Lengths are px of a picture of ``SIDE``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

SIDE = 256
STAINS = ((0.08, 0.1, 0.35), (0.05, 0.05, 0.06), (0.5, 0.08, 0.1))  # blue, black and red ink
SHIFT = 4  # bits of a px's fraction that OpenCV's lines are given in

Mark = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # (H,W,3) float32 in [0,1], to the same


def mark(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one to four kinds of damage, thin ones several times; equal generators, equal damage.

    Args:
        picture: (H,W,3) float32 RGB in [0,1], square.
        rng: where all chance comes from.

    Returns:
        The same shape, in [0,1].
    """
    kinds, shares = list(KINDS), np.array(list(KINDS.values()))
    for _ in range(int(rng.choice([1, 1, 2, 3, 4]))):
        kind = kinds[rng.choice(len(kinds), p=shares / shares.sum())]
        for _ in range(int(rng.integers(1, 6)) if kind in (scratch, fibre) else 1):
            picture = kind(picture, rng)
    return np.clip(picture, 0, 1).astype(np.float32)


def fold(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A line from edge to edge, jagged a little, mostly along the picture, with light and shade beside it."""
    side = len(picture)
    angle = rng.uniform(0, math.pi) if rng.random() < 0.4 else rng.choice([0, math.pi / 2]) + rng.normal(0, 0.08)
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    middle = rng.uniform(0, side, 2)
    drift = np.cumsum(rng.normal(0, 1, 120)) * rng.uniform(0, 0.4)
    jagged = drift - drift.mean() + rng.normal(0, 1, 120) * rng.uniform(0, 1.2)
    points = middle + np.linspace(-1.6, 1.6, 120)[:, None] * side * along + jagged[:, None] * across
    if rng.random() < 0.7:
        rows, columns = np.mgrid[:side, :side].astype(np.float32)
        slope = ((columns - middle[0]) * across[0] + (rows - middle[1]) * across[1]) / rng.uniform(3, 12)
        shade = rng.uniform(-0.3, 0.3) * slope * np.exp(0.5 - 0.5 * slope**2)
        picture = picture * (1 + shade[..., None])
    cover = _line(side, points, rng.choice([1, 1, 2, 2, 3, 4, 6])) * _patchy(side, rng, 1.2, (8, 16, 32))
    return _laid(picture, cover * rng.uniform(0.5, 1), _tone(rng))


def scratch(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A thin line that bends a little and gives out in places, tapered in half of the cases."""
    side, count = len(picture), int(rng.integers(6, 30))
    angles = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, rng.uniform(0.01, 0.25), count))
    points = _walk(side, angles, rng.uniform(3, 18), rng)
    cover = _line(side, points, rng.choice([1, 1, 1, 2, 2, 3]), tapered=rng.random() < 0.5)
    return _laid(picture, cover * _patchy(side, rng, 1.3, (8, 24)) * rng.uniform(0.4, 1), _tone(rng))


def fibre(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A short curl of lint."""
    angles = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.35, 12))
    cover = _line(len(picture), _walk(len(picture), angles, rng.uniform(1.5, 6), rng), rng.choice([1, 1, 2]))
    return _laid(picture, cover * rng.uniform(0.5, 1), _tone(rng))


def dust(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Specks, most of them tiny."""
    cover = np.zeros(picture.shape[:2], np.uint8)
    for _ in range(int(rng.integers(3, 50))):
        x, y = (int(v) for v in rng.integers(0, len(picture) << SHIFT, 2))
        radius = int((1 << SHIFT) * rng.uniform(0.4, 1 + 4 * rng.random() ** 4))
        cv2.circle(cover, (x, y), radius, int(rng.integers(120, 256)), -1, cv2.LINE_AA, SHIFT)
    return _laid(picture, cover.astype(np.float32) / 255, _tone(rng))


def lost(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Emulsion lost from up to 8 % of the picture, with a rim at times."""
    side = len(picture)
    waves = [_noise(side, n, rng) * weight for n, weight in ((4, 1), (9, 0.6), (20, 0.4), (48, 0.25), (100, 0.15))]
    height = np.sum(waves, 0)
    depth = height - np.quantile(height[::4, ::4], 1 - rng.uniform(0.005, 0.08))
    cover = np.clip(depth * rng.uniform(6, 25) + 0.5, 0, 1) * rng.uniform(0.6, 1)
    if rng.random() < 0.5:
        picture = picture * (1 + rng.uniform(-0.4, 0.3) * np.exp(-((depth / 0.06) ** 2))[..., None])
    return _laid(picture, cover, _paper(side, rng))


def tear(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A wedge of paper that comes in from an edge."""
    side, count = len(picture), 14
    inward = np.linspace(-5, rng.uniform(0.2, 0.9) * side, count)
    middle = rng.uniform(0, side) + np.cumsum(rng.normal(0, 6, count))
    reach = np.linspace(rng.uniform(2, 10), 0.6, count) * rng.uniform(0.7, 1.3, count)
    edges = [np.stack([inward, middle + sign * reach], 1) for sign in (-1, 1)]
    cover = np.zeros((side, side), np.uint8)
    cv2.fillPoly(cover, [_fixed(np.concatenate([edges[0], edges[1][::-1]]))], 255, cv2.LINE_AA, SHIFT)
    turned = np.rot90(cover, int(rng.integers(4))).astype(np.float32) / 255
    return _laid(picture, turned, _paper(side, rng))


def ink(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A stroke of a pen."""
    angles = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.5, 20))
    cover = _line(len(picture), _walk(len(picture), angles, rng.uniform(2, 8), rng), int(rng.integers(2, 8)))
    return _laid(picture, cover * rng.uniform(0.6, 1), np.array(STAINS[rng.integers(len(STAINS))]))


KINDS: dict[Mark, float] = {fold: 0.3, scratch: 0.3, fibre: 0.1, dust: 0.2, lost: 0.15, tear: 0.1, ink: 0.06}


def _noise(side: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    return cv2.resize(
        rng.standard_normal((cells, cells)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )


def _patchy(side: int, rng: np.random.Generator, most: float, cells: tuple[int, ...]) -> np.ndarray:
    """How much is there from place to place, 0 to 1."""
    return np.clip(_noise(side, int(rng.choice(cells)), rng) * rng.uniform(0.1, 0.8) + rng.uniform(0.3, most), 0, 1)


def _tone(rng: np.random.Generator) -> np.ndarray:
    """(3,): mostly the white of paper, a little warm, else nearly black."""
    if rng.random() < 0.65:
        light = rng.uniform(0.7, 1)
        return light * np.array([1, 1 - rng.uniform(0, 0.06), 1 - rng.uniform(0, 0.18)])
    return rng.uniform(0, 0.25) * np.array([1, 0.9, 0.8])


def _paper(side: int, rng: np.random.Generator) -> np.ndarray:
    """(S,S,3) of one tone, with fibres."""
    return _tone(rng) * (1 + 0.05 * _noise(side, 128, rng)[..., None])


def _walk(side: int, angles: np.ndarray, step: float, rng: np.random.Generator) -> np.ndarray:
    """(K,2) points of a walk from somewhere, a step in each direction."""
    return rng.uniform(0, side, 2) + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * step, 0)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << SHIFT)).astype(np.int32)


def _line(side: int, points: np.ndarray, width: int, tapered: bool = False) -> np.ndarray:
    """How much of each pixel a line covers; tapered, it gets thinner towards its end."""
    cover = np.zeros((side, side), np.uint8)
    piece = max(1, len(points) // 4) if tapered else len(points)
    for start in range(0, len(points) - 1, piece):
        thick = max(1, round(width * (1 - start / len(points))))
        part = _fixed(points[start : start + piece + 1])
        cv2.polylines(cover, [part], False, 255, thick, cv2.LINE_AA, SHIFT)
    return cover.astype(np.float32) / 255


def _laid(picture: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """A colour laid over a picture where there is cover (H,W)."""
    return (picture + (colour - picture) * cover[..., None]).astype(np.float32)
