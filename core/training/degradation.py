"""Damage done to clean faces: LQ = ((HQ * blur) ↓r + noise) JPEG ↑r, the degradation CodeFormer and ReF-LDM train on.

Ranges are those of ReF-LDM's tables (at 512 px): blur sigma [px], shrink factor, noise [of 255], JPEG quality.

    python -m resemblance.core.training.degradation IN.png OUT.jpg --severity severe --seed 1
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KERNEL = 41
Range = tuple[float, float]


@dataclass(frozen=True)
class Damage:
    """Ranges that each degradation is drawn from, uniformly (shrink factor log-uniformly in training's ``any``)."""

    sigma: Range
    shrink: Range
    noise: Range
    jpeg: Range


SEVERITIES = {
    "light": Damage((0.1, 3), (1, 2), (0, 6), (75, 100)),
    "moderate": Damage((0.1, 8), (1, 8), (0, 15), (60, 100)),
    "severe": Damage((8, 16), (8, 32), (0, 20), (30, 100)),
}
SEVERITY_SHARES = {"light": 0.1, "moderate": 0.45, "severe": 0.45}  # of training's faces


def blur_kernel(rng: np.random.Generator, sigma: Range, scale: float = 1.0) -> np.ndarray:
    """A Gaussian kernel (41,41), or smaller by `scale`, round in half the draws, else stretched and turned."""
    a = rng.uniform(*sigma)
    b, angle = (a, 0.0) if rng.random() < 0.5 else (rng.uniform(*sigma), rng.uniform(0, math.pi))
    radius = round(KERNEL // 2 * scale)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] / scale
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = np.exp(-0.5 * (np.square(u / a) + np.square(v / b)))
    return (kernel / kernel.sum()).astype(np.float32)


def degrade(face: np.ndarray, severity: str, rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """Damage a picture.

    Args:
        face: (H,W,3) uint8 RGB.
        severity: a key of ``SEVERITIES``.
        rng: where all chance comes from: equal generators give equal damage.
        scale: side of the face in parts of the 512 px that the ranges are meant for.

    Returns:
        (H,W,3) uint8 RGB of the same size.
    """
    import cv2

    damage = SEVERITIES[severity]
    height, width = face.shape[:2]
    image = cv2.filter2D(
        face.astype(np.float32), -1, blur_kernel(rng, damage.sigma, scale), borderType=cv2.BORDER_REFLECT
    )
    shrink = rng.uniform(*damage.shrink) * scale
    small = (max(2, round(width / shrink)), max(2, round(height / shrink)))
    image = cv2.resize(image, small, interpolation=cv2.INTER_LINEAR)
    image += rng.standard_normal(image.shape, np.float32) * rng.uniform(*damage.noise)
    quality = int(rng.uniform(*damage.jpeg))
    image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_LINEAR)


def age(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Now and then take the colour out of a clean face (grey, sepia) or fade it, as age does to most photographs."""
    import cv2

    kind = rng.random()
    if 0.12 <= kind < 0.2:
        black, white = rng.uniform(0, 90, 3), rng.uniform(190, 255, 3)
        return np.clip(black + face * ((white - black) / 255), 0, 255).astype(np.uint8)
    if kind >= 0.12:
        return face
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    tint = np.array([1.0, 1.0, 1.0] if kind < 0.08 else [1.0, 0.88, 0.7], np.float32)
    return np.clip(grey * tint, 0, 255).astype(np.uint8)


def main() -> None:
    """Damage one picture file."""
    import cv2

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--severity", choices=SEVERITIES, default="moderate")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    image = cv2.imread(str(args.picture), cv2.IMREAD_COLOR)
    if image is None:
        parser.error(f"{args.picture} is no picture that can be read")
    damaged = degrade(np.ascontiguousarray(image[..., ::-1]), args.severity, np.random.default_rng(args.seed))
    cv2.imwrite(str(args.output), damaged[..., ::-1])


if __name__ == "__main__":
    main()
