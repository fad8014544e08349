"""The damage of :mod:`.degradation`, and its grey and sepia, done to batches by torch, on any device, without waiting.

Every face has its own blur, size, noise and JPEG quality, drawn beforehand, so that what follows is a function of its
arguments. A face that is shrunk lies in the top left corner of a picture of the old size, its last row and column
repeated up to the border, as JPEG repeats them to fill a block. All computes in float32: keep it out of autocast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn import functional as F

from .degradation import SEVERITIES, blur_kernel

# Quantisation of JPEG at quality 50 (ITU-T T.81, tables K.1 and K.2).
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# RGB to Y, Cb, Cr (JFIF 1.02).
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
GREY = TO_YCC[0]
SEPIA = (1.0, 0.88, 0.7)


@dataclass(frozen=True, eq=False)
class Damages:
    """What is done to each of N faces.

    Attributes:
        kernels: (N,K,K) float32, K odd, of sum 1.
        sides: (N,) float32, px of the shrunk face.
        levels: (N,) float32, standard deviation of the noise, of 255.
        qualities: (N,) float32 whole numbers, JPEG's, 1 to 100.
    """

    kernels: Tensor
    sides: Tensor
    levels: Tensor
    qualities: Tensor

    def to(self, device: torch.device | str) -> Damages:
        """The same on a device."""
        parts = self.kernels, self.sides, self.levels, self.qualities
        return Damages(*(t.to(device, non_blocking=True) for t in parts))


def draw_damages(rng: np.random.Generator, severities: Sequence[str], side: int) -> Damages:
    """Draw the damage of one face of `side` px for each of `severities`."""
    rows = []
    for name in severities:
        ranges = SEVERITIES[name]
        kernel, shrink = blur_kernel(rng, ranges.sigma), rng.uniform(*ranges.shrink)
        rows.append((kernel, max(2, round(side / shrink)), rng.uniform(*ranges.noise), int(rng.uniform(*ranges.jpeg))))
    return Damages(*(torch.from_numpy(np.array(column, np.float32)) for column in zip(*rows, strict=True)))


def degrade_batch(faces: Tensor, damages: Damages, noise: Tensor) -> Tensor:
    """Damage faces.

    Args:
        faces: (N,3,S,S) RGB in [0,1], S a multiple of 16.
        damages: theirs, on their device.
        noise: (N,3,S,S) of unit variance.

    Returns:
        (N,3,S,S) float32 in [0,1], whole levels of 255.
    """
    image = blur(faces * 255, damages.kernels)
    steps = torch.arange(faces.shape[-1], device=faces.device)
    ratio = (damages.sides / len(steps))[:, None]
    last = damages.sides[:, None] - 1
    inside = torch.minimum(steps, last)
    image = _sample(image, ((inside + 0.5) / ratio - 0.5))
    noise = _sample(noise, inside)
    image = (image + noise * damages.levels[:, None, None, None]).round().clamp(0, 255)
    image = jpeg(image, damages.qualities)
    return _sample(image, torch.minimum(((steps + 0.5) * ratio - 0.5).clamp_min(0), last)).round() / 255


def constant(values: Sequence[float] | Sequence[Sequence[float]], like: Tensor) -> Tensor:
    """Numbers as a tensor of the type and on the device of another, without waiting for the device."""
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Correlate pictures (N,C,H,W) with kernels (N,K,K) of their own, mirrored at the border (edge repeated)."""
    height, width = images.shape[-2:]
    radius = kernels.shape[-1] // 2
    rows, columns = (_mirrored(n, radius, images.device) for n in (height, width))
    padded = images[..., rows, :][..., columns]
    sides = padded.shape[-2:]
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernels, s=sides).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=sides)[..., :height, :width]


def _mirrored(count: int, pad: int, device: torch.device) -> Tensor:
    """Indices -pad … count + pad - 1, folded back into 0 … count - 1."""
    line = torch.arange(-pad, count + pad, device=device)
    line = torch.where(line < 0, -1 - line, line)
    return torch.where(line < count, line, 2 * count - 1 - line)


def _sample(images: Tensor, at: Tensor) -> Tensor:
    """Values of square pictures (N,C,S,S) at the rows and columns (N,T) [px], linear in between; (N,C,T,T)."""
    line = at * (2 / (images.shape[-1] - 1)) - 1
    count = line.shape[1]
    grid = torch.stack([line[:, None, :].expand(-1, count, -1), line[:, :, None].expand(-1, -1, count)], -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def jpeg(images: Tensor, qualities: Tensor) -> Tensor:
    """Write as baseline JPEG with 4:2:0 chroma, as libjpeg does it by default, and read again.

    Args:
        images: (N,3,H,W) RGB, whole levels 0 to 255; H and W multiples of 16.
        qualities: (N,), 1 to 100.

    Returns:
        The same shape, whole levels 0 to 255.
    """
    matrix = torch.tensor(TO_YCC, dtype=torch.float64)
    offset = constant((0, 128, 128), images)[:, None, None]
    ycc = (einsum(matrix.to(images, non_blocking=True), images, "y c, n c h w -> n y h w") + offset).round()
    # Means of four are rounded up and down in turn, as libjpeg does.
    odd = torch.arange(ycc.shape[-1] // 2, device=images.device) % 2
    chroma = ((F.avg_pool2d(ycc[:, 1:], 2) * 4 + 1 + odd) / 4).floor()
    scale = torch.where(qualities < 50, 5000 / qualities, 200 - 2 * qualities).floor()[:, None, None]
    luma, chroma = (
        _quantise(plane, ((constant(table, images) * scale + 50) / 100).floor().clamp(1, 255))
        for plane, table in ((ycc[:, :1], LUMINANCE), (chroma, CHROMINANCE))
    )
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False).round()
    ycc = torch.cat([luma, chroma], 1) - offset
    return einsum(matrix.inverse().to(images, non_blocking=True), ycc, "c y, n y h w -> n c h w").round().clamp(0, 255)


def _quantise(planes: Tensor, tables: Tensor) -> Tensor:
    """(N,C,H,W) whole levels through the 8x8 cosine transform, to whole multiples of (N,8,8), and back."""
    frequency, place = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    cosine = torch.cos((2 * place + 1) * frequency * math.pi / 16) / 2
    cosine[0] /= math.sqrt(2)
    cosine, tables = cosine.to(planes, non_blocking=True), tables[:, None, None, None]
    blocks = rearrange(planes - 128, "n c (y v) (x u) -> n c y x v u", v=8, u=8)
    blocks = cosine.T @ ((cosine @ blocks @ cosine.T / tables).round() * tables) @ cosine
    return (rearrange(blocks, "n c y x v u -> n c (y v) (x u)") + 128).round().clamp(0, 255)


def age_batch(faces: Tensor, kinds: Tensor) -> Tensor:
    """Take the colour out of some faces (N,3,H,W), as :func:`.degradation.age` does; `kinds` (N,) drawn from [0,1)."""
    kinds = kinds[:, None, None, None]
    grey = (faces * constant(GREY, faces)[:, None, None]).sum(1, keepdim=True)
    tinted = torch.where(kinds < 0.08, grey, grey * constant(SEPIA, faces)[:, None, None])
    return torch.where(kinds < 0.12, tinted, faces)
