"""Faces to look at: drawn on their photograph with box, number and points, or side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..records import Face
from .measure import luma

# Hues that stay apart for most colour-blind eyes (Okabe and Ito), bright enough for black text.
COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0))
GREY = (128, 128, 128)
PAD = 3  # px around a text
SHOWN = 0.6  # how strongly a map's colour is laid over a picture


def draw_faces(photo: Tensor, faces: Sequence[Face], max_side: int = 1024) -> Tensor:
    """Draw the faces of one photograph, each with its number.

    Args:
        photo: (3,H,W) RGB in [0,1].
        faces: faces of this photograph.
        max_side: a larger photograph is shown smaller, with this long side [px].

    Returns:
        (3,h,w) float32 in [0,1], on the CPU.
    """
    image = _image(photo)
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
        _label(draw, str(face.number), x0, y0, y1, image.size, colour)
    return _tensor(image)


def tinted(picture: Tensor, shares: Tensor, grey: bool = True) -> Tensor:
    """A picture, in grey unless said otherwise, under maps, each in its own of ``COLOURS``.

    Args:
        picture: (3,H,W) RGB in [0,1].
        shares: (R,H,W), 0 or more, in sum at most 1.

    Returns:
        (3,H,W) float32 in [0,1].
    """
    shares = shares.to(picture) * SHOWN
    colours = shares.new_tensor([COLOURS[r % len(COLOURS)] for r in range(len(shares))]).reshape(-1, 3) / 255
    rest = (1 - shares.sum(0)).clamp_min(0)
    return ((luma(picture) if grey else picture) * rest + torch.einsum("rhw,rc->chw", shares, colours)).clamp(0, 1)


def draw_rows(rows: Sequence[Sequence[tuple[Tensor, str]]], side: int = 256, below: Sequence[str] = ()) -> Tensor:
    """Draw pictures in rows, each with a few words on it.

    Args:
        rows: of pictures (3,S,S) RGB in [0,1] with their words, of several lines each in its own of ``COLOURS``: so
            they say what a colour of :func:`tinted` means. None give one grey tile.
        side: of each as it is drawn [px].
        below: a text for each row, that stands under it; or none.

    Returns:
        (3,h,w) float32 in [0,1], on the CPU; grey where a row is shorter than the others.
    """
    columns = max((len(row) for row in rows), default=1)
    font = ImageFont.load_default(size=side / 16)
    letters = int(columns * side / font.getlength("m" * 10) * 16)  # of a line: the others are narrower
    texts = [textwrap.wrap(text, letters) for text in below] or [[]] * len(rows)
    line = side // 11
    room = [side + len(text) * line + (PAD if text else 0) for text in texts]
    sheet = Image.new("RGB", (columns * side, sum(room) or side), GREY)
    draw = ImageDraw.Draw(sheet)
    for row, text, top in zip(rows, texts, accumulate(room, initial=0), strict=False):
        for x, (picture, words) in enumerate(row):
            sheet.paste(_image(picture).resize((side, side), Image.Resampling.BOX), (x * side, top))
            for number, part in enumerate(words.splitlines()):
                _write(draw, part, x * side, top + number * side / 10, font, COLOURS[number % len(COLOURS)])
        if text:
            draw.rectangle((0, top + side, sheet.width, top + side + len(text) * line + PAD), fill=(24, 24, 24))
        for number, part in enumerate(text):
            draw.text((PAD, top + side + number * line), part, fill=(235, 235, 235), font=font)
    return _tensor(sheet)


def _image(picture: Tensor) -> Image.Image:
    pixels = (picture.detach().float().cpu().nan_to_num(0).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(pixels))


def _tensor(image: Image.Image) -> Tensor:
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
    width, height = right - left + 2 * PAD, bottom - top + 2 * PAD
    x = min(max(x0, 0), max(size[0] - width, 0))
    y = y0 - height if y0 >= height else min(max(y0, 0), max(size[1] - height, 0))
    _write(draw, text, x, y, font, colour)


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    x: float,
    y: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    colour: tuple[int, int, int],
) -> None:
    """Text in black on a patch of colour, whose upper left corner is given."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    draw.rectangle((x, y, x + right - left + 2 * PAD, y + bottom - top + 2 * PAD), fill=colour)
    draw.text((x + PAD - left, y + PAD - top), text, fill=(0, 0, 0), font=font)
