"""Folds, scratches, tears and ink: what a mask says is damage is filled from what lies around it.

No restorer then takes a fold for an edge of the face, at any scale: it sees a soft place, as blur would leave one, and
draws there what belongs. Of the photograph only what faces cover is changed in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..geometry import warp
from ..records import Crops

WIDER = 2  # [px] that damage reaches beyond its mask: scanners and lenses soften its edge
SOFT = 2  # [px] over which a mended place goes over into what was there


def check_damage(damage: Tensor | Sequence[Tensor], photos: Tensor | Sequence[Tensor]) -> None:
    """Raise ValueError unless `damage` is one mask (1,H,W) in [0,1] for each photograph (3,H,W), of its size."""
    sizes, wanted = ([tuple(x.shape[-2:]) for x in each] for each in (damage, photos))
    if sizes != wanted or any(mask.ndim != 3 or len(mask) != 1 for mask in damage):
        raise ValueError(
            f"Got damage masks {[tuple(mask.shape) for mask in damage][:4]} for photographs of {wanted[:4]} (height, "
            "width); expected one of the same size for each, white where there is damage."
        )
    if not all(bool(((mask >= 0) & (mask <= 1)).all()) for mask in damage):
        raise ValueError("The damage mask holds values outside 0 to 1; expected 0 (as it is) to 1 (damage).")


def mended(photos: Tensor | Sequence[Tensor], damage: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Photographs (3,H,W) with what the masks (1,H,W) call damage filled; the very photographs where there is none.

    Raises:
        ValueError: as :func:`check_damage`.
    """
    check_damage(damage, photos)
    return [_mended(photo, mask) if bool(mask.any()) else photo for photo, mask in zip(photos, damage, strict=True)]


def widened(mask: Tensor) -> Tensor:
    """A mask (1,H,W) with the edge that damage has beyond it."""
    grown = F.max_pool2d(mask.float(), 2 * WIDER + 1, stride=1, padding=WIDER)
    return torch.maximum(mask.float(), F.avg_pool2d(grown, 2 * SOFT + 1, 1, SOFT, count_include_pad=False))


def filled(pictures: Tensor, weights: Tensor) -> Tensor:
    """Pictures with what does not count made up from what does.

    Every place takes the mean of what counts around it, from as far as it must (a pyramid, "pull-push": Gortler et
    al., "The Lumigraph", SIGGRAPH 1996, section 3.4).

    Args:
        pictures: (N,C,H,W).
        weights: (N,1,H,W) in [0,1], how much each pixel counts; it keeps so much of itself.
    """
    known = pictures * weights
    if min(pictures.shape[-2:]) == 1 or bool((weights == 1).all()):
        mean = known.mean((2, 3), keepdim=True) / weights.mean((2, 3), keepdim=True).clamp_min(1e-6)
        return known + (1 - weights) * mean
    odd = [-n % 2 for n in pictures.shape[-2:]]
    halved, share = (F.avg_pool2d(F.pad(x, (0, odd[1], 0, odd[0])), 2) for x in (known, weights))
    # A mean of what counts, that itself counts in full as soon as a pixel does.
    coarse = filled(halved / share.clamp_min(1e-6), (4 * share).clamp(max=1))
    grown = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return known + (1 - weights) * grown[..., : pictures.shape[-2], : pictures.shape[-1]]


def _mended(photo: Tensor, mask: Tensor) -> Tensor:
    """Only the part that holds damage, and as much around it, is worked on."""
    rows, columns = (mask[0].amax(axis).nonzero() for axis in (1, 0))
    (top, bottom), (left, right) = ((int(at.min()), int(at.max()) + 1) for at in (rows, columns))
    reach = max(bottom - top, right - left, 16)
    part = (slice(None), slice(max(0, top - reach), bottom + reach), slice(max(0, left - reach), right + reach))
    result = photo.clone()
    result[part] = filled(photo[part][None].float(), 1 - widened(mask[part])[None])[0].to(photo)
    return result


def mended_crops(crops: Crops, damage: Tensor) -> Crops:
    """The same crops with what masks (N,1,s,s) of any side call damage filled; they show what the crops show.

    Raises:
        ValueError: masks that are not square, or values outside 0 to 1.
    """
    if damage.shape[-2:] != (crops.size, crops.size) and damage.shape[-1] == damage.shape[-2]:
        damage = F.interpolate(damage, (crops.size, crops.size), mode="bilinear", antialias=True).clamp(0, 1)
    if not len(crops):
        return crops
    return replace(crops, pixels=torch.stack(mended(crops.pixels, damage)))


def damage_views(crops: Crops, damage: Tensor | Sequence[Tensor]) -> Tensor:
    """How much of each place of crops is damage, by the masks (1,H,W) of their photographs: (N,1,S,S) in [0,1]."""
    size = (crops.size, crops.size)
    views = [
        # Sampling leaves a trace beside what it samples; that is no damage.
        (1.02 * warp(widened(damage[face.image]), affine, size, "zeros") - 0.01).clamp(0, 1)
        for face, affine in zip(crops.faces, crops.affines, strict=True)
    ]
    return torch.stack(views).to(crops.masks) if views else crops.masks
