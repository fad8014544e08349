"""Faces drawn on their photograph: box, number and points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .records import Face

# Hues that stay apart for most colour-blind eyes (Okabe and Ito), bright enough for black text.
COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0))


def draw_faces(photo: Tensor, faces: Sequence[Face], max_side: int = 1024) -> Tensor:
    """Draw the faces of one photograph, each with its number.

    Args:
        photo: (3,H,W) RGB in [0,1].
        faces: faces of this photograph.
        max_side: a larger photograph is shown smaller, with this long side [px].

    Returns:
        (3,h,w) float32 in [0,1], on the CPU.
    """
    pixels = (photo.detach().float().cpu().nan_to_num(0).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    scale = min(1.0, max_side / max(image.size))
    if scale < 1:
        image = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX
        )
    draw = ImageDraw.Draw(image)
    line = max(1, round(max(image.size) / 400))
    for face in faces:
        colour = COLOURS[face.index % len(COLOURS)]
        x0, y0, x1, y1 = ((v + 0.5) * scale - 0.5 for v in face.box)
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=line)
        radius = max(1.0, (x1 - x0) / 40)
        for x, y in face.landmarks:
            x, y = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        _label(draw, str(face.index), x0, y0, y1, image.size, colour)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _label(
    draw: ImageDraw.ImageDraw,
    text: str,
    x0: float,
    y0: float,
    y1: float,
    size: tuple[int, int],
    colour: tuple[int, int, int],
) -> None:
    """The number in black on the face's colour, on top of the box, or inside it where there is no room above."""
    font = ImageFont.load_default(size=float(np.clip((y1 - y0) / 4, max(size) / 64, max(size) / 24).clip(min=9)))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 6, bottom - top + 6
    x = min(max(x0, 0), max(size[0] - width, 0))
    y = y0 - height if y0 >= height else min(max(y0, 0), max(size[1] - height, 0))
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 3 - left, y + 3 - top), text, fill=(0, 0, 0), font=font)
