"""Pictures in files: PNG, JPEG, WebP, BMP and TIFF read and written, with all that belongs to a photograph kept."""

from __future__ import annotations

import io
import secrets
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from .png16 import encode_png16, is_png16, read_png16

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
READABLE = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
KNOWN = "PNG, JPEG, WebP, BMP or TIFF"
# What Pillow raises on broken files.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
ORIENTATION = 0x0112  # EXIF tag
# EXIF tags of the photograph, not of the file: description, maker, model, resolution, software, date, artist, rights.
DESCRIPTIVE = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in JPEG
# How each converts to a mode whose samples are those of Photo; the second is for pictures with a transparent colour.
MODES = {
    "1": ("L", "LA"),
    "L": ("L", "LA"),
    "LA": ("LA", "LA"),
    "P": ("RGB", "RGBA"),
    "PA": ("RGBA", "RGBA"),
    "RGB": ("RGB", "RGBA"),
    "RGBX": ("RGB", "RGB"),
    "RGBA": ("RGBA", "RGBA"),
    "YCbCr": ("RGB", "RGB"),
}


class PictureError(ValueError):
    """A file that holds no picture this project can read, or a picture that its format cannot hold."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture, upright, and what must survive writing it.

    Attributes:
        pixels: (3,H,W) float32 RGB in [0,1], in the file's own colour space; not multiplied by alpha.
        alpha: (1,H,W) float32 in [0,1], or None.
        format: ``"PNG"``, ``"JPEG"``, ``"WEBP"``, ``"BMP"`` or ``"TIFF"``: what it was read from.
        depth: bits a channel, 8 or 16 (PNG only).
        grey: the file had no colour; it is written without.
        exif: EXIF block, orientation reset to upright.
        icc: ICC profile of the pixels.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    format: str = "PNG"
    depth: int = 8
    grey: bool = False
    exif: bytes | None = None
    icc: bytes | None = None


def read_photo(path: Path) -> Photo:
    """Read a still picture: grey, colour, palette or CMYK, 8 bits (PNG also 16), with or without alpha.

    CMYK is converted to sRGB through its profile; all other colours are left as they are and their profile is kept.

    Raises:
        OSError: the file is missing or cannot be read.
        PictureError: it holds no picture, a broken, moving or too large one, or one of a kind that is not supported.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise PictureError(f"{path}: the file is empty (0 bytes); expected {KNOWN}. Fetch or copy it again.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF blocks and of half its own limit of pixels
            with Image.open(path, formats=READABLE) as image:
                return _decode(image, path)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"{path}: not a picture that can be read; expected {KNOWN}. Convert it first.") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise PictureError(f"{path}: {error}; expected at most {limit} megapixels. Shrink it or cut it up.") from error
    except MemoryError as error:
        raise PictureError(f"{path}: too large for the memory; expected a smaller picture. Shrink it first.") from error
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno:  # only errors of the system carry a number
            raise OSError(
                f"{path}: cannot be read ({error.strerror}); expected a picture. Check the path and its permissions."
            ) from error
        raise PictureError(f"{path}: broken ({error}); expected a whole {KNOWN} file. Fetch it again.") from error


def _decode(image: Image.Image, path: Path) -> Photo:
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise PictureError(
            f"{path}: holds {frames} pictures (animated or of many pages); expected one. Extract them first."
        )
    deep = is_png16(image)
    if not deep and image.mode not in MODES and image.mode != "CMYK":
        raise PictureError(
            f"{path}: {kind} of kind '{image.mode}'; expected 8 bits a channel, or a PNG of 16. Convert it first."
        )
    if kind == "TIFF" and max(image.tag_v2.get(258, (8,))) > 8:  # type: ignore[attr-defined]  # 258: bits per sample
        raise PictureError(
            f"{path}: TIFF of more than 8 bits a channel; expected 8. Convert it to a PNG of 16 bits first."
        )
    image.load()
    icc = image.info.get("icc_profile")
    if deep:
        array = read_png16(path)
    elif image.mode == "CMYK":
        array, icc = np.array(_cmyk_to_rgb(image, icc)), None
    else:
        array = np.array(image.convert(MODES[image.mode]["transparency" in image.info]))
    exif, orientation = _exif(image)
    array = _upright(array if array.ndim == 3 else array[..., None], orientation)
    channels = array.shape[2]
    pixels, alpha = (array, None) if channels in (1, 3) else (array[..., :-1], array[..., -1:])
    return Photo(
        _to_tensor(np.broadcast_to(pixels, (*pixels.shape[:2], 3))),
        None if alpha is None else _to_tensor(alpha),
        kind,
        16 if deep else 8,
        channels < 3,
        exif,
        icc,
    )


def _cmyk_to_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    if icc:
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            converted = None  # a broken profile, or one that is not of CMYK
        if converted is not None:
            return converted
    return image.convert("RGB")


def _exif(image: Image.Image) -> tuple[bytes | None, int]:
    """The EXIF block with its orientation reset, and the orientation it had."""
    exif = image.getexif()
    orientation = exif.get(ORIENTATION, 1)
    if image.format == "TIFF":  # its tags are the file's own: where its strips lie, how they are packed
        kept = Image.Exif()
        kept.update({tag: exif[tag] for tag in DESCRIPTIVE if tag in exif})
        return kept.tobytes() if kept else None, orientation
    if orientation == 1:
        return image.info.get("exif") or None, 1
    exif[ORIENTATION] = 1
    return exif.tobytes(), orientation


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """(H,W,C) as it lies in the file → as it is to be seen (EXIF 2.32, tag Orientation)."""
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _to_tensor(array: np.ndarray) -> Tensor:
    """uint8 or uint16 (H,W,C) → float32 (C,H,W) in [0,1]."""
    planes = np.ascontiguousarray(array.transpose(2, 0, 1), np.float32)
    return torch.from_numpy(planes).div_(np.iinfo(array.dtype).max)


def write_photo(path: Path, photo: Photo, quality: int = 95) -> None:
    """Write a picture in the format of the path's suffix; the file appears whole or not at all.

    Args:
        path: its suffix must be one of ``FORMATS``. A file that is there is replaced.
        photo: bits, colour, alpha, EXIF and profile are written as far as the format holds them (16 bits: PNG).
        quality: 1 to 100, of JPEG and WebP.

    Raises:
        PictureError: the suffix is unknown, or the format cannot hold the picture (alpha, or its size).
        OSError: it could not be written.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise PictureError(f"{path}: the suffix '{path.suffix}' was given; expected one of {', '.join(FORMATS)}.")
    if photo.alpha is not None and kind in ("JPEG", "BMP"):
        raise PictureError(
            f"{path}: the picture has an alpha channel, which {kind} cannot hold. Write PNG, WebP or TIFF."
        )
    depth = photo.depth if kind == "PNG" else 8
    array = _to_array(photo, depth)
    if depth == 16:
        data = encode_png16(array, photo.exif, photo.icc)
    else:
        options: dict[str, object] = {"quality": quality} if kind in ("JPEG", "WEBP") else {}
        if kind == "JPEG":
            options["subsampling"] = 0
        if kind == "WEBP":
            options["exact"] = True  # colours under full transparency are kept
        if kind != "BMP":
            options |= {"exif": photo.exif, "icc_profile": photo.icc}
        buffer = io.BytesIO()
        try:
            image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
            image.save(buffer, kind, **{name: value for name, value in options.items() if value is not None})
        except (OSError, ValueError, struct.error) as error:
            height, width = photo.pixels.shape[1:]
            raise PictureError(
                f"{path}: {kind} cannot hold this picture of {width}x{height} ({error}). Write PNG."
            ) from error
        data = buffer.getvalue()
    write_atomically(path, data)


def _to_array(photo: Photo, depth: int) -> np.ndarray:
    """Photo → uint8 or uint16 (H,W,C), rounded to nearest, channel by channel to spare memory."""
    channels = list(photo.pixels)
    if photo.grey:
        channels = [sum(weight * channel for weight, channel in zip(LUMA, channels, strict=True))]
    if photo.alpha is not None:
        channels.append(photo.alpha[0])
    array = np.empty((*photo.pixels.shape[1:], len(channels)), np.uint16 if depth == 16 else np.uint8)
    top = 2**depth - 1
    for i, channel in enumerate(channels):
        array[..., i] = (channel.float() * top + 0.5).clamp_(0, top).cpu().numpy()
    return array


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, also when the disk is full or the program is stopped.

    Folders that are missing are made.

    Raises:
        OSError: it could not be written.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            f"{path}: could not be written ({error.strerror}); expected a folder that can be written to, with "
            f"{len(data) / 1e6:.1f} MB of room. Free some room or give another folder."
        ) from error
