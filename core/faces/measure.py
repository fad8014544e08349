"""How blurred, how noisy and how damaged a face is.

Blur is measured by how the energy of the gradient falls as the picture is smoothed: across an edge that a Gaussian of
`b` px has blurred, smoothing with `t` px leaves an energy proportional to 1 / sqrt(b² + t²), so two `t` give `b`. White
noise adds a known share, which is taken off first. Noise is measured in the finest diagonal differences, in the flatter
blocks of the picture, where there is least texture to be taken for it. Damage of any kind is seen by a network
(:mod:`..models.damage`).
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ..files.checkpoints import read
from ..geometry import TEMPLATE_SIZE, compose, scale_of, to_template
from ..models.damage import DamageConfig, DamageNet
from ..records import Crops, FaceQuality
from .crop import face_mask, template_masks, template_view

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
BLOCK = 8
FLATTEST = 0.25  # which quantile of the blocks is taken for the noise
# In pure noise, that quantile of the mean of |d| over 64 samples lies 0.674 standard errors below the mean.
BLOCK_MEAN = math.sqrt(2 / math.pi) * (1 - 0.6745 * math.sqrt(math.pi / 2 - 1) / BLOCK)
CLIPPED = (0.02, 0.98)  # blocks darker or brighter than this have lost their noise
SCALES = (1.5, 3.0)  # smoothing at which blur is measured on a face [px of the template]
SHARP, BLURRED = 0.7, 7.0  # blur [px of the template] from which a face counts as sharp, and as nothing but blur
# Of white noise, the finest diagonal differences keep this share once a rotated face was interpolated and, if it was
# enlarged, shrunk back: 0.46 to 0.51 for any enlargement, measured by warping noise with `geometry.warp`.
NOISE_KEPT = 0.48
NOISE_KEPT_TURNED = 0.69  # neither enlarged nor shrunk
SHADES, FAINTEST = 64, 0.01  # levels of brightness that are counted, and the share at each end that is not
WEIGHTS = Path(__file__).parents[1] / "weights" / "damage.safetensors"
SEVERE = 0.6  # LPIPS to the undamaged face that counts as damage 1
# Noise from which a face counts as damaged whatever the network says, and as damaged beyond measure: it takes some
# screens and rough papers, which it has not seen, for texture. White noise of 0.04 is 0.58 by it, and 0.36 by this.
NOISY, LOST = 0.015, 0.085


def measure_quality(crops: Crops) -> list[FaceQuality]:
    """Measure every face of `crops`.

    Returns:
        N records. `sharpness` falls with the logarithm of the blur at the template: 1 at 0.7 px or less, 0 at 7 px or
        more. `noise` is the mean (quadratic) of the three channels' noise in the pixels of the photograph where the
        template enlarges them, and of the template where it does not. `damage` is what LPIPS would say of the face
        beside the undamaged one, as far as the built-in network can tell, in parts of 0.6 and at most 1; more where the
        noise alone is worse, and 1 where there are no edges at all.
    """
    found = []
    to_view = to_template(crops.size, crops.margin)
    views, masks = template_view(crops), template_masks(crops)
    for view, mask, affine, face in zip(views, masks, crops.affines, crops.faces, strict=True):
        through = compose(to_view, affine)
        enlarged = max(1.0, float(scale_of(through)))
        kept = NOISE_KEPT
        if abs(float(scale_of(through)) - 1) < 1e-3:
            copied = torch.allclose(through, through.round(), rtol=0, atol=1e-6)
            enlarged, kept = 1.0, 1.0 if copied else NOISE_KEPT_TURNED
        bright = luma(view)[None]
        native = _shrunk(torch.cat([view, bright, mask]), enlarged)
        *colours, brightness = (noise_levels(native[:4], native[4]) / kept).tolist()
        blur = blur_level(bright[0], mask[0], brightness, enlarged, SCALES)
        sharpness = 1 - math.log(max(blur, SHARP) / SHARP) / math.log(BLURRED / SHARP)
        (x0, y0), (x1, y1) = face.landmarks[:2]
        noise = math.sqrt(sum(c * c for c in colours) / len(colours))
        by_noise = min(max((noise - NOISY) / (LOST - NOISY), 0.0), 1.0)
        severity = 1.0 if math.isinf(blur) else max(severity_of(view[None])[0], by_noise)
        found.append(FaceQuality(max(sharpness, 0.0), math.hypot(x1 - x0, y1 - y0), noise, severity))
    return found


@torch.no_grad()
def severity_of(faces: Tensor) -> list[float]:
    """Damage, 0 to 1, of aligned faces (N,3,512,512) in [0,1]; see :func:`measure_quality`.

    The network is small and runs on the CPU.
    """
    return [(damage_network()(face[None]) / SEVERE).clamp(0, 1).item() for face in faces.float().cpu()]


@functools.cache
def damage_network(path: Path = WEIGHTS) -> DamageNet:
    """The damage network of a file, read when first needed and kept."""
    state = {name: tensor.float() for name, tensor in read(path).items()}
    network = DamageNet(DamageConfig.from_state(state))
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def shades(face: Tensor) -> float:
    """In how many shades a face is drawn: the entropy of its brightness [bits], 0 to 6, whatever its contrast.

    Photographs have 4.6 and more unless they are burned out; drawings, engravings and hard copies less than 4.2.

    Args:
        face: (3,512,512) in [0,1], aligned to the template.
    """
    bright = luma(face)[face_mask()[0].to(face.device) > 0.5]
    low, high = bright.quantile(bright.new_tensor([FAINTEST, 1 - FAINTEST])).tolist()
    share = torch.histc(bright.clamp(low, high), SHADES, low, high) / len(bright)
    return float(torch.special.entr(share).sum()) / math.log(2)


def luma(picture: Tensor) -> Tensor:
    """Brightness (H,W) of an RGB picture (3,H,W), as ITU-R BT.601 weighs it."""
    return torch.tensordot(picture.new_tensor(LUMA), picture, 1)


def noise_levels(picture: Tensor, weight: Tensor | None = None) -> Tensor:
    """Standard deviation of white noise in each channel.

    Args:
        picture: (C,H,W).
        weight: (H,W); only blocks where it is more than a half on average are looked at.

    Returns:
        (C,) spread of the finest diagonal differences (Haar's, which keep the spread of white noise) in the flatter
        blocks; 0 where there is no block to look at.
    """
    h, w = (n // (2 * BLOCK) * 2 * BLOCK for n in picture.shape[1:])
    if not h or not w:
        return picture.new_zeros(len(picture))
    y = picture[:, :h, :w]
    d = (y[:, ::2, ::2] - y[:, 1::2, ::2] - y[:, ::2, 1::2] + y[:, 1::2, 1::2]) / 2
    mean = F.avg_pool2d(y, 2 * BLOCK).mean(0)
    used = (mean > CLIPPED[0]) & (mean < CLIPPED[1])
    if weight is not None:
        used &= F.avg_pool2d(weight[None, :h, :w], 2 * BLOCK)[0] > 0.5
    levels = F.avg_pool2d(d.abs(), BLOCK)[:, used]
    return levels.quantile(FLATTEST, 1) / BLOCK_MEAN if levels.numel() else picture.new_zeros(len(picture))


def blur_level(picture: Tensor, weight: Tensor, noise: float, enlarged: float, scales: tuple[float, float]) -> float:
    """Blur of the edges in one channel, as the standard deviation of a Gaussian [px].

    Args:
        picture: (H,W).
        weight: (H,W), where to look and how much it counts.
        noise: standard deviation of the white noise in it, before it was enlarged.
        enlarged: how much the picture was enlarged after the noise came in, 1 or more.
        scales: the two smoothings [px] at which to look; blur of their size is measured best.

    Returns:
        0 or more; infinity where there are no edges above the noise.
    """
    energies = []
    for t in scales:
        y = smooth(picture[None], t)[0]
        dx, dy = y[1:-1, 2:] - y[1:-1, :-2], y[2:, 1:-1] - y[:-2, 1:-1]
        inside = weight[1:-1, 1:-1]
        energy = float((dx.square_().add_(dy.square_()) * inside).sum() / inside.sum().clamp_min(1e-6)) / 4
        # The gradient of white noise under a Gaussian of t px has the variance s² / (4 pi t⁴); interpolation that
        # enlarges spreads the noise and smooths it by about half a source pixel.
        spread = t * t + (enlarged * enlarged - 1) / 4
        energies.append(energy - (noise * enlarged) ** 2 / (4 * math.pi * spread * spread))
    fine, coarse = energies
    if fine <= 0 or coarse <= 0:
        return math.inf
    ratio = (fine / coarse) ** 2
    if ratio <= 1:
        return math.inf
    return math.sqrt(max(0.0, (scales[1] ** 2 - ratio * scales[0] ** 2) / (ratio - 1)))


def smooth(picture: Tensor, sigma: float) -> Tensor:
    """(C,H,W) under a Gaussian of `sigma` px, its edge repeated outwards.

    Shifted copies are added up: for few channels that is several times as fast on a CPU as a convolution.
    """
    reach = math.ceil(3 * sigma)
    taps = [math.exp(-k * k / (2 * sigma * sigma)) for k in range(reach + 1)]
    total = taps[0] + 2 * sum(taps[1:])
    for axis, pad in ((1, (0, 0, reach, reach)), (2, (reach, reach, 0, 0))):
        length = picture.shape[axis]
        padded = F.pad(picture[None], pad, mode="replicate")[0]
        result = picture * (taps[0] / total)
        for k in range(1, reach + 1):
            for start in (reach - k, reach + k):
                result.add_(padded.narrow(axis, start, length), alpha=taps[k] / total)
        picture = result
    return picture


def _shrunk(picture: Tensor, factor: float) -> Tensor:
    """(C,512,512) brought back by the factor it was enlarged by."""
    if factor == 1:
        return picture
    side = max(2 * BLOCK, round(TEMPLATE_SIZE / factor))
    return F.interpolate(picture[None], (side, side), mode="bicubic", antialias=True)[0]
