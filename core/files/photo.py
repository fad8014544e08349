"""A photograph in memory, with all that its file said of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


class PictureError(ValueError):
    """A file that holds no picture this project can read, or a picture that its format cannot hold."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Carried:
    """What belongs to a photograph beside its pixels.

    Attributes:
        exif: EXIF block of the upright picture, without the small copy of the picture, or None.
        icc: ICC profile of the pixels, or None.
        xmp: XMP packet of the upright picture, or None.
        iptc: IPTC-IIM records, or None.
        text: texts and their keys: those of PNG, and as "Comment" those of JPEG and GIF.
        dpi: resolution, across and down [px per inch], or None.
        compression: Pillow's name of how a TIFF file was packed, or None.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    compression: str | None = None


@dataclass(frozen=True, eq=False)
class Photo(Carried):
    """A picture, upright, and what must survive writing it.

    Attributes:
        pixels: (3,H,W) float32 RGB in [0,1], in the file's own colour space; not multiplied by alpha.
        alpha: (1,H,W) float32 in [0,1], or None.
        format: Pillow's name of what it was read from, such as ``"PNG"``, ``"JPEG"`` or ``"HEIF"``.
        depth: bits a channel, 8 or 16 (PNG and TIFF).
        grey: the file had no colour; it is written without.
        notes: what of the file was not read, and why: parts of sentences.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    format: str = "PNG"
    depth: int = 8
    grey: bool = False
    notes: tuple[str, ...] = ()
