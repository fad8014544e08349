"""What paper, scanners, sites and video do to photographs beyond blur, shrinking, noise and JPEG.

Prints are worn before the usual damage, copies after it. It is done to batches by torch, on any device, without
waiting for it. Every face has its own parameters, drawn on the CPU; big fields of noise alone are drawn on the device,
seeded from the same generator: equal generators give equal wear on one device. Lengths are px of a picture of 512 px
and shrink with its side. Keep it out of autocast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from .device_degradation import GREY, TO_YCC, blur, jpeg

# (N,3,S,S) float32 RGB in [0,1], S a multiple of 16, and where chance comes from, to the same shape, in [0,1].
Wear = Callable[[Tensor, np.random.Generator], Tensor]

SIDE = 512  # px that lengths are meant for
SCRATCHES = 8
PAPERS = ((0.95, 0.92, 0.85), (0.6, 0.59, 0.58), (0.22, 0.15, 0.11))  # under lost emulsion: warm white, grey, brown
STAINS = ((0.75, 0.58, 0.35), (0.6, 0.62, 0.5), (0.5, 0.42, 0.4), (0.85, 0.75, 0.9))  # water, mould, ink, dyes that ran


def _put(values: ArrayLike, faces: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).to(faces.device, non_blocking=True)


def _uniform(faces: Tensor, rng: np.random.Generator, low: float, high: float, *shape: int) -> Tensor:
    """(N,*shape) drawn from [low,high); (N,1,1,1) unless said."""
    return _put(rng.uniform(low, high, (len(faces), *(shape or (1, 1, 1)))), faces)


def _chance(faces: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """(N,1,1,1), 1 in about this share of the faces, else 0."""
    return _put(rng.random((len(faces), 1, 1, 1)) < share, faces)


def _noise(faces: Tensor, rng: np.random.Generator, *shape: int) -> Tensor:
    source = torch.Generator(faces.device).manual_seed(int(rng.integers(1 << 62)))
    return torch.randn(len(faces), *shape, generator=source, device=faces.device)


def _clouds(faces: Tensor, rng: np.random.Generator, cells: Sequence[int], planes: int = 1, fall: float = 1) -> Tensor:
    """(N,planes,S,S) smooth noise of unit variance, a sum of so many cells a side, the finer the weaker."""
    side = faces.shape[-1]
    total = torch.zeros(len(faces), planes, side, side, device=faces.device)
    for count in (min(n, side) for n in cells):
        field = F.interpolate(_noise(faces, rng, planes, count, count), size=side, mode="bicubic")
        total = total + field * (cells[0] / count) ** fall
    deviation, mean = torch.std_mean(total, (2, 3), keepdim=True)
    return (total - mean) / deviation


def _soften(images: Tensor, sigmas: Tensor, most: float) -> Tensor:
    """Blur pictures by Gaussians of their own (N,1,1,1), at most so wide, in px of theirs."""
    radius = 8 * math.ceil(3 * most / 8)  # sides with small factors alone are quick to transform
    line = torch.arange(-radius, radius + 1, device=images.device)
    weights = torch.exp(-0.5 * (line / sigmas[:, 0, 0].clamp_min(0.05)).square())
    weights = weights / weights.sum(1, keepdim=True)
    return blur(images, weights[:, :, None] * weights[:, None, :])


def _grey(faces: Tensor) -> Tensor:
    return (faces * _put(GREY, faces)[:, None, None]).sum(1, keepdim=True)


def _jpeg(faces: Tensor, rng: np.random.Generator, low: int, high: int) -> Tensor:
    """Through JPEG of a quality from `low` to below `high`."""
    return jpeg((faces * 255).round().clamp(0, 255), _put(rng.integers(low, high, len(faces)), faces)) / 255


def _places(faces: Tensor) -> tuple[Tensor, Tensor, float]:
    """Columns (1,1,1,S) and rows (1,1,S,1) of the centres of pixels, and a pixel's side, in px of 512."""
    side = faces.shape[-1]
    line = (torch.arange(side, device=faces.device) + 0.5) * (SIDE / side)
    return line[None, None, None, :], line[None, None, :, None], SIDE / side


def _sample(images: Tensor, rows: Tensor, columns: Tensor, mode: str = "bilinear") -> Tensor:
    """Values of square pictures at rows and columns (N,T) [px of theirs]; (N,C,T,T)."""
    rows, columns = (at * (2 / (images.shape[-1] - 1)) - 1 for at in (rows, columns))
    count = rows.shape[1]
    grid = torch.stack([columns[:, None, :].expand(-1, count, -1), rows[:, :, None].expand(-1, -1, count)], -1)
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=True)


def _shrink(faces: Tensor, sides: Tensor, softness: Tensor, most: float) -> Tensor:
    """Faces of `sides` (N,1) px in the top left corner, blurred before by `softness` (of the new pixel, px <= most)."""
    ratio = sides / faces.shape[-1]
    soft = _soften(faces, softness / ratio[..., None, None], most)
    steps = torch.arange(faces.shape[-1], device=faces.device)
    at = (torch.minimum(steps, sides - 1) + 0.5) / ratio - 0.5
    return _sample(soft, at, at)


def _enlarge(faces: Tensor, sides: Tensor, cubic: Tensor) -> Tensor:
    """Back from the corner to the whole picture: linear, or cubic where `cubic` (N,1,1,1) is 1, or between."""
    steps = torch.arange(faces.shape[-1], device=faces.device)
    at = torch.minimum(((steps + 0.5) * (sides / len(steps)) - 0.5).clamp_min(0), sides - 1)
    return _sample(faces, at, at).lerp(_sample(faces, at, at, "bicubic"), cubic).clamp(0, 1)


def _polyline(x: Tensor, y: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distances to the lines through `points` (N,K,2) as x, y, and where on them the nearest point is, 0 to 1."""
    steps, pieces = points.diff(dim=1), points.shape[1] - 1
    nearest, along = torch.full_like(x, math.inf), torch.zeros_like(x)
    for piece in range(pieces):
        start, step = points[:, piece, :, None, None, None], steps[:, piece, :, None, None, None]
        right, down = x - start[:, 0], y - start[:, 1]
        length = step.square().sum(1).clamp_min(1e-3)
        part = ((right * step[:, 0] + down * step[:, 1]) / length).clamp(0, 1)
        square = (right - part * step[:, 0]).square() + (down - part * step[:, 1]).square()
        along = torch.where(square < nearest, (part + piece) / pieces, along)
        nearest = torch.minimum(nearest, square)
    return nearest.sqrt(), along


def _cover(distance: Tensor, reach: Tensor, pixel: float) -> Tensor:
    """How much of a pixel lies within `reach`: 1, falling to 0 over a pixel."""
    return ((reach - distance) / pixel + 0.5).clamp(0, 1)


def _tones(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """(N,3,1,1): mostly the white of paper, a little warm, else nearly black."""
    light, dark = _uniform(faces, rng, 0.75, 1), _uniform(faces, rng, 0, 0.22)
    warm = 1 - _uniform(faces, rng, 0, 0.15) * _put([0, 0.4, 1], faces)[:, None, None]
    return dark.lerp(light, _chance(faces, rng, 0.7)) * warm


def halftone(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Printed as a screen of dots: of grey mostly, else one turned by 30° for each colour; then a little ink spread."""
    x, y, pixel = _places(faces)
    period = _uniform(faces, rng, 3.5, 9).clamp_min(2.5 * pixel)  # finer ones than two pixels alias
    turn = _uniform(faces, rng, 0, math.pi) + _put([0, math.pi / 6, math.pi / 3], faces)[:, None, None]
    coloured = _chance(faces, rng, 0.3)
    turn, ink = turn[:, :1].lerp(turn, coloured), _grey(faces).lerp(faces, coloured)
    u, v = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    screen = 0.5 + 0.25 * ((2 * math.pi / period * u).cos() + (2 * math.pi / period * v).cos())
    dots = torch.sigmoid(_uniform(faces, rng, 6, 18) * (ink - screen))
    printed = _soften(dots, _uniform(faces, rng, 0.5, 1.2) / pixel, 1.2 / pixel)
    return (faces + _uniform(faces, rng, 0.5, 1) * (printed - ink)).clamp(0, 1)


def scratches(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Three to eight thin scratches, light or dark, specks of dust, and a fold or two in half of the faces."""
    count, side = len(faces), faces.shape[-1]
    x, y, pixel = _places(faces)
    wobble = _clouds(faces, rng, (6, 24, 96), 3)
    bent_x, bent_y, whole = x + 4 * wobble[:, :1], y + 4 * wobble[:, 1:2], wobble[:, 2:]
    worn, lines = faces, _put(rng.integers(3, SCRATCHES + 1, (count, 1, 1, 1)), faces)
    for line in range(SCRATCHES):
        drift = rng.normal(0, 1.5, (count, 1, 2)) + rng.normal(0, 1, (count, 4, 2))
        steps = drift * rng.uniform(8, 90, (count, 1, 1))
        points = rng.uniform(0.05, 0.95, (count, 1, 2)) * SIDE + np.cumsum(steps, 1)
        distance, along = _polyline(bent_x, bent_y, _put(points, faces))
        cover = _cover(distance, _uniform(faces, rng, 0.5, 3) * (1 - 0.7 * along), pixel)
        faded = (whole * _uniform(faces, rng, 0, 0.8) + _uniform(faces, rng, 0.3, 1.2)).clamp(0, 1)
        worn = worn.lerp(_tones(faces, rng), cover * faded * (lines > line))
    folds = _put(rng.choice(3, (count, 1, 1, 1), p=(0.5, 0.35, 0.15)), faces)
    for fold in range(2):
        angle, here = _uniform(faces, rng, 0, math.pi), folds > fold
        middle_x, middle_y = (_uniform(faces, rng, 0.15 * SIDE, 0.85 * SIDE) for _ in range(2))
        jagged = _clouds(faces, rng, (3, 48, 192), fall=0.3) * _uniform(faces, rng, 0.5, 1.8)
        distance = (x - middle_x) * angle.cos() + (y - middle_y) * angle.sin() + jagged
        slope = distance / _uniform(faces, rng, 3, 10)
        shade = slope * torch.exp(0.5 - 0.5 * slope.square()) * _uniform(faces, rng, -0.35, 0.35)
        core = torch.exp(-(distance / (_uniform(faces, rng, 0.8, 2.5) + pixel / 2)).square())
        cracked = (whole * 1.5 + _uniform(faces, rng, 0, 2)).clamp(0, 1) * _uniform(faces, rng, 0.4, 1)
        worn = (worn * (1 + shade * here)).lerp(_tones(faces, rng), core * cracked * here)
    # One speck at most in each of 16 by 16 cells, so that a pixel looks at its own cell's alone.
    corner, (at_x, at_y, size, seen) = np.mgrid[:16, :16] * (SIDE / 16), rng.random((4, count, 16, 16))
    present = seen < rng.uniform(0, 0.3, (count, 1, 1))
    parts = (corner[1] + 6 + 20 * at_x, corner[0] + 6 + 20 * at_y, (0.7 + 3.5 * size**3) * present, present)
    specks = F.interpolate(_put(np.stack(parts, 1), faces), size=side, mode="nearest")
    distance = torch.hypot(x - specks[:, :1], y - specks[:, 1:2])
    cover = _cover(distance, specks[:, 2:3], pixel) * specks[:, 3:] * _uniform(faces, rng, 0.4, 1)
    return worn.lerp(_tones(faces, rng), cover).clamp(0, 1)


def emulsion(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Emulsion lost from 1 to 10 % of the picture down to the paper; stains in some faces, a tear in half of them."""
    count, side = len(faces), faces.shape[-1]
    x, y, pixel = _places(faces)
    worn = faces
    for _ in range(2):
        height = _clouds(faces, rng, (3, 6, 12, 48), fall=1.3) - _uniform(faces, rng, 0.3, 1.3)
        tint = _put(np.array(STAINS)[rng.integers(len(STAINS), size=count), :, None, None], faces)
        tide = torch.exp(-(height / 0.08).square()) * _uniform(faces, rng, 0, 0.5)  # where water dried
        stain = (torch.sigmoid(height * _uniform(faces, rng, 4, 25)) + tide) * _uniform(faces, rng, 0.3, 1)
        worn = worn * (1 - stain * _chance(faces, rng, 0.3) * (1 - tint))

    field = _clouds(faces, rng, (5, 10, 20, 40, 80, 160), fall=0.8)
    stride = max(1, side // 128)
    ordered = field[..., ::stride, ::stride].flatten(1).sort(1).values
    kept = ((1 - _uniform(faces, rng, 0.01, 0.1, 1)) * ordered.shape[1]).long()
    depth = field - ordered.gather(1, kept)[..., None, None]
    fibre = _clouds(faces, rng, (8, 128, 256), fall=0.0)
    papers = np.array(PAPERS)[rng.choice(len(PAPERS), count, p=(0.6, 0.25, 0.15)), :, None, None]
    paper = _put(papers, faces) * _uniform(faces, rng, 0.9, 1.05) * (1 + 0.04 * fibre)
    rim = torch.exp(-(depth / _uniform(faces, rng, 0.03, 0.1)).square()) * _uniform(faces, rng, -0.5, 0.4)
    lost = (depth * 20 + 0.5).clamp(0, 1) * _uniform(faces, rng, 0.75, 1)
    worn = worn.lerp(paper, lost) * (1 + rim)

    inward = np.linspace(-0.05, 1, 7) * rng.uniform(0.2, 0.7, (count, 1)) * SIDE
    aside = rng.uniform(0.1, 0.9, (count, 1)) * SIDE + rng.normal(0, 0.5, (count, 1)) * inward
    aside = aside + np.cumsum(rng.normal(0, 14, (count, 7)), 1)
    inward = np.where(rng.random((count, 1)) < 0.5, inward, SIDE - inward)
    swapped = rng.random((count, 1, 1)) < 0.5
    points = np.where(swapped, np.stack([aside, inward], -1), np.stack([inward, aside], -1))
    jag = _clouds(faces, rng, (24, 64, 192), 3, fall=0.6)
    distance, along = _polyline(x + 4 * jag[:, :1], y + 4 * jag[:, 1:2], _put(points, faces))
    reach = _uniform(faces, rng, 2, 10) * (1.05 - along).sqrt() * (1 + 0.3 * jag[:, 2:])
    torn = _chance(faces, rng, 0.5)
    shadow = _cover(distance, reach + 2.5, 2 * pixel) * _uniform(faces, rng, 0, 0.5)
    white = _uniform(faces, rng, 0.85, 0.97) * (1 + 0.06 * fibre)
    worn = (worn * (1 - shadow * torn)).lerp(white, _cover(distance, reach, pixel) * torn)
    return worn.clamp(0, 1)


def grain(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Clumped noise, strongest in the middle tones, the same in all colours mostly."""
    pixel = SIDE / faces.shape[-1]
    coloured = _chance(faces, rng, 0.2) * _uniform(faces, rng, 0.2, 0.8)
    noise = _noise(faces, rng, 4, *faces.shape[-2:])
    noise = _soften(noise[:, :1].lerp(noise[:, 1:], coloured), _uniform(faces, rng, 0.5, 2) / pixel, 2 / pixel)
    noise = noise / noise.std((1, 2, 3), keepdim=True) * _uniform(faces, rng, 8 / 255, 35 / 255)
    grey = _grey(faces)
    return (faces + noise * (0.35 + 2.6 * grey * (1 - grey))).clamp(0, 1)


def resampled(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Shrunk and enlarged two or three times, each by another factor, soft or rough, and sharpened between at times."""
    for again in (1.0, 1.0, 0.5):
        here = _chance(faces, rng, again)
        sides = (_uniform(faces, rng, 0.25, 0.9, 1) * faces.shape[-1]).round()
        small = _shrink(faces, sides, _uniform(faces, rng, 0.05, 0.5), 2.0)
        sharper = _chance(faces, rng, 0.5) * _uniform(faces, rng, 0.3, 1.5)
        small = (small + sharper * (small - _soften(small, _uniform(faces, rng, 0.7, 2), 2.0))).clamp(0, 1)
        large = _enlarge((small * 255).round() / 255, sides, _chance(faces, rng, 0.5))
        faces = faces.lerp(large, here)
    return (faces * 255).round() / 255


def jpeg_twice(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Compressed, cut by a few pixels, compressed again: two grids of blocks."""
    steps = torch.arange(faces.shape[-1] + 16, device=faces.device)
    rows, columns = (_put(rng.integers(1, 16, (len(faces), 1)), faces) for _ in range(2))
    first = _jpeg(_sample(faces, steps - rows, steps - columns, "nearest"), rng, 12, 60)
    steps = steps[:-16]
    return _jpeg(_sample(first, steps + rows, steps + columns, "nearest"), rng, 15, 70)


def video_blocks(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """A frame of old video: small, a little shaken, its blocks coarse and its colours coarser."""
    sides = (faces.shape[-1] / _uniform(faces, rng, 1.5, 4.5, 1)).round()
    small = _shrink(faces, sides, _uniform(faces, rng, 0.3, 0.6), 2.8)
    line = torch.arange(-3.0, 4, device=faces.device)
    angle, length = _uniform(faces, rng, 0, math.pi, 1, 1), _uniform(faces, rng, 1, 4, 1, 1)
    u, v = (line * a.cos() + line[:, None] * a.sin() for a in (angle, angle + math.pi / 2))
    kernels = (length / 2 + 0.5 - u.abs()).clamp(0, 1) * (1 - v.abs()).clamp_min(0)
    small = blur(small, kernels / kernels.sum((1, 2), keepdim=True))
    return (_enlarge(_jpeg(small, rng, 8, 35), sides, torch.zeros_like(sides)[..., None, None]) * 255).round() / 255


def chroma_blotches(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Red and blue blotches of 8 to 32 px, as of coarse chroma, in dark and reddish parts most; luma nearly kept."""
    side, matrix = faces.shape[-1], torch.tensor(TO_YCC, dtype=torch.float64)
    ycc = torch.einsum("yc,nchw->nyhw", _put(matrix, faces), faces)
    luma, chroma = ycc[:, :1], ycc[:, 1:]
    scale = side / SIDE
    cell = (_put(np.exp2(rng.uniform(3, 5, (len(faces), 1))), faces) * scale).clamp_min(2)
    soft = _soften(chroma, cell[..., None, None] / 3, max(2, 32 * scale) / 3)
    step = _uniform(faces, rng, 8 / 255, 24 / 255)
    soft = soft + _noise(faces, rng, 2, side, side) * step * _uniform(faces, rng, 0.2, 0.5)
    steps = torch.arange(side, device=faces.device)
    rows, columns = (
        (((steps + start) / cell).floor().add(0.5) * cell - start).round().clamp(0, side - 1)
        for start in (_uniform(faces, rng, 0, 1, 1) * cell for _ in range(2))
    )
    blocks = (_sample(soft, rows, columns, "nearest") / step).round() * step
    blocks = _soften(blocks, cell[..., None, None] * _uniform(faces, rng, 0.05, 0.3), 9.6 * max(scale, 1 / 16))
    most = torch.sigmoid(8 * (0.45 - luma)) + (chroma[:, 1:] * 5).clamp(0, 1)
    ycc = torch.cat([luma, chroma.lerp(blocks, (0.3 + 0.6 * most).clamp(0, 1))], 1)
    return torch.einsum("cy,nyhw->nchw", _put(matrix.inverse(), faces), ycc).clamp(0, 1)


def ringing(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Blurred a little, sharpened far too much and compressed, as a phone or a video player does: halos at edges."""
    pixel = SIDE / faces.shape[-1]
    soft = _soften(faces, _uniform(faces, rng, 0.4, 1.5) / pixel, 1.5)
    radius = (_uniform(faces, rng, 1, 3) / pixel).clamp_min(0.6)
    sharp = soft + _uniform(faces, rng, 0.8, 3) * (soft - _soften(soft, radius, 3.0))
    return _jpeg(sharp.clamp(0, 1), rng, 55, 92)


PRINTS: dict[str, Wear] = {f.__name__: f for f in (halftone, scratches, emulsion, grain)}
COPIES: dict[str, Wear] = {f.__name__: f for f in (resampled, jpeg_twice, video_blocks, chroma_blotches, ringing)}
