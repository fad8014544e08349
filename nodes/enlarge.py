"""Pictures made larger, by core's node for the user's upscale models."""

from __future__ import annotations

from typing import Any

from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel
from torch import Tensor
from torch.nn import functional as F

from .sockets import photos_of


def size_of(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width [px] of a picture that is made larger."""
    return max(1, round(height * scale)), max(1, round(width * scale))


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """(B,C,H,W) in [0,1] at another size [px], as they are where it is theirs."""
    if tuple(pictures.shape[-2:]) == size:
        return pictures
    smaller = size[0] < pictures.shape[-2]
    return F.interpolate(pictures, size, mode="bicubic", antialias=smaller, align_corners=False).clamp(0, 1)


def upscaled(model: Any, image: Tensor, scale: float) -> Tensor:
    """An IMAGE through an upscale model, brought to `scale` times its size: (B,3,h,w) float32.

    Args:
        model: UPSCALE_MODEL.
        image: (B,H,W,3 or 4).
        scale: 1 or more.
    """
    larger = photos_of(ImageUpscaleWithModel.execute(model, image[..., :3].float()).args[0], "upscaled image")
    return resized(larger, size_of(image.shape[1], image.shape[2], scale))
