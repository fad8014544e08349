"""Colours of a restored face, which are the photograph's: a restorer knows faces, not under which light this one was.

What varies slowly is always the photograph's. Finer colours, such as those of irises and lips, are as far as damage has
left them: blur takes colour from small things, and compression puts blotches in their place.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .measure import luma

GRID = 64  # shading is compared on a grid of this side over the crop
REACH = 0.08  # standard deviation of the smoothing, of the template's side: an eye's width, a sixth of a face's
LIMIT = 0.08  # how far a local difference may lie from the face's median one before it counts as content
FINE = 128  # fine colours are compared on a grid of this side over the template: four cells lie across an iris


def match_shading(restored: Tensor, original: Tensor, mask: Tensor, margin: float, amount: float) -> Tensor:
    """Give a restored face the low frequencies of the photograph.

    The median difference of each channel is taken away whole. What varies over the face is first limited, so that a
    scratch or an eye that the restorer opened does not tint the skin, then smoothed beyond the size of any feature.

    Args:
        restored: (3,s,s) in [0,1].
        original: (3,S,S), the crop.
        mask: (1,S,S), where to compare.
        margin: of the crop (:class:`..records.Crops`).
        amount: 0 to 1, how much of the difference to take away.
    """
    grid = (GRID, GRID)
    difference = F.adaptive_avg_pool2d(original, grid) - F.adaptive_avg_pool2d(restored, grid)
    weight = F.adaptive_avg_pool2d(mask, grid)
    inside = weight[0] > 0.5
    if amount == 0 or not bool(inside.any()):
        return restored
    median = difference[:, inside].median(1).values[:, None, None]
    local = (difference - median).clamp(-LIMIT, LIMIT)
    at = torch.arange(GRID, device=restored.device)
    reach = REACH * GRID / (1 + 2 * margin)
    smoothing = torch.exp(-(at[:, None] - at).square() / (2 * reach * reach))
    local = (smoothing @ (local * weight) @ smoothing) / (smoothing @ weight @ smoothing).clamp_min(1e-6)
    change = F.interpolate((median + local)[None], restored.shape[-2:], mode="bilinear", align_corners=False)[0]
    return torch.add(restored, change, alpha=amount)


def keep_chroma(restored: Tensor, original: Tensor, margin: float, amount: float, severity: float) -> Tensor:
    """Give a restored face the fine colours of the photograph, whose brightness stays what was restored.

    Args:
        restored, original, margin, amount: as in :func:`match_shading`.
        severity: 0 to 1, how damaged the face is: at 0 all of the colours are taken over, at 1 none.
    """
    trust = amount * (1 - severity * severity * (3 - 2 * severity))
    if trust == 0:
        return restored
    side = min(round(FINE * (1 + 2 * margin)), restored.shape[-1], original.shape[-1])
    difference = F.adaptive_avg_pool2d(original, side) - F.adaptive_avg_pool2d(restored, side)
    chroma = difference - luma(difference)
    change = F.interpolate(chroma[None], restored.shape[-2:], mode="bilinear", align_corners=False)[0]
    return torch.add(restored, change, alpha=trust)
