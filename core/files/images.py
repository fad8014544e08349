"""Pictures in files: read and written with all that belongs to a photograph."""

from __future__ import annotations

import io
import logging
import secrets
import struct
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import metadata, tiff
from .colour import cmyk_to_rgb
from .formats import FORMATS as FORMATS
from .formats import READABLE as READABLE
from .opening import BROKEN, broken, load
from .photo import Carried as Carried
from .photo import Photo as Photo
from .photo import PictureError as PictureError
from .png16 import encode_png16, is_png16, read_png16
from .tags import HEADERS, parse

log = logging.getLogger(__name__)
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
    "CMYK": ("RGB", "RGB"),
}


def read_photo(path: Path, strict: bool = False) -> Photo:
    """Read a still picture: grey, colour, palette or CMYK, 8 or 16 bits (PNG and TIFF), with or without alpha.

    CMYK is converted to sRGB through its profile; all other colours are left as they are and their profile is kept.
    What is wrong beside the pixels is left out, of a JPEG that is cut short the part is read that is there, and of
    several pages the first: that is logged, and in the photograph's `notes`.

    Args:
        path: the file.
        strict: refuse a JPEG that is cut short.

    Raises:
        OSError: the file is missing or cannot be read.
        PictureError: it holds no picture, a broken, moving or too large one, or one of a kind that is not supported.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OSError(
            f"{path}: cannot be read ({error.strerror}); expected a picture. Check the path and its permissions."
        ) from error
    if not data:
        raise PictureError(f"{path}: the file is empty (0 bytes); expected a picture. Fetch or copy it again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF blocks
            photo = _read_tiff(data, path) if data[:4] in HEADERS else _read(data, path, strict)
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError(f"{path}: too large for the memory; expected a smaller picture. Shrink it first.") from error
    except BROKEN as error:
        raise broken(path, error) from error
    if photo.notes:
        log.warning("%s: %s.", path, "; ".join(photo.notes))
    return photo


def _read(data: bytes, path: Path, strict: bool) -> Photo:
    image, data, missing = load(data, path, strict)
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    carried, orientation, notes = metadata.collect(image)
    if kind == "TIFF":
        notes.append(tiff.of_large_file(image, path))
    if image.mode == "CMYK":
        carried = replace(carried, icc=None)
    array = read_png16(data) if is_png16(data) else _samples(image, path)
    return _photo(array, kind, orientation, carried, missing + notes)


def _read_tiff(data: bytes, path: Path) -> Photo:
    tags, malformed = parse(data)
    carried, orientation, notes = tiff.metadata(tags, malformed)
    if tiff.bits(tags) == 16:
        array = tiff.samples16(data, tags, path)
    else:
        image = load(tiff.first_page(data, tags), path)[0]
        image.info["icc_profile"] = carried.icc
        array = _samples(image, path)
    if tiff.is_ink(tags):
        carried = replace(carried, icc=None)
    return _photo(array, "TIFF", orientation, carried, notes)


def _samples(image: Image.Image, path: Path) -> np.ndarray:
    """uint8 (H,W,C): grey, grey and alpha, RGB or RGBA."""
    if image.mode == "CMYK":
        return np.array(cmyk_to_rgb(image))
    if image.mode not in MODES:
        raise PictureError(
            f"{path}: {image.format} of kind '{image.mode}'; expected 8 bits a channel, or 16 in PNG and TIFF. "
            "Convert it first."
        )
    mode = MODES[image.mode]["transparency" in image.info]
    return np.array(image if image.mode == mode else image.convert(mode))


def _photo(array: np.ndarray, kind: str, orientation: int, carried: Carried, notes: list[str]) -> Photo:
    """Samples (H,W) or (H,W,C) as they lie in the file → the upright photograph."""
    array = _upright(array if array.ndim == 3 else array[..., None], orientation)
    channels = array.shape[2]
    pixels, alpha = (array, None) if channels in (1, 3) else (array[..., :-1], array[..., -1:])
    return Photo(
        _to_tensor(np.broadcast_to(pixels, (*pixels.shape[:2], 3))),
        None if alpha is None else _to_tensor(alpha),
        kind,
        8 * array.itemsize,
        channels < 3,
        tuple(notes),
        **vars(carried),
    )


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
    """Write a picture as `encode_photo` makes it; the file appears whole or not at all, and replaces one that is there.

    Raises:
        PictureError: as :func:`encode_photo`.
        OSError: it could not be written.
    """
    write_atomically(Path(path), encode_photo(path, photo, quality)[0])


def encode_photo(path: Path, photo: Photo, quality: int = 95) -> tuple[bytes, tuple[str, ...]]:
    """A picture in the format of a path's suffix.

    Args:
        path: its suffix must be one of ``FORMATS``; nothing is written there.
        photo: bits, colour, alpha and what belongs to it are kept as far as the format holds them (16 bits: PNG and
            TIFF); what is said of the size becomes that of the pixels.
        quality: 1 to 100, of JPEG and WebP.

    Returns:
        The file, and what it has no place for: parts of sentences, which are logged too.

    Raises:
        PictureError: the suffix is unknown, or the format cannot hold the picture (alpha, or its size).
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise PictureError(f"{path}: the suffix '{path.suffix}' was given; expected one of {', '.join(FORMATS)}.")
    if photo.alpha is not None and kind in ("JPEG", "BMP"):
        raise PictureError(
            f"{path}: the picture has an alpha channel, which {kind} cannot hold. Write PNG, WebP or TIFF."
        )
    array = _to_array(photo, photo.depth if kind in ("PNG", "TIFF") else 8)
    try:
        data, notes = _encode(kind, array, photo, quality)
    except (OSError, ValueError, struct.error) as error:
        height, width = photo.pixels.shape[1:]
        raise PictureError(
            f"{path}: {kind} cannot hold this picture of {width}x{height} ({error}). Write PNG."
        ) from error
    if notes:
        log.warning("%s: %s.", path, "; ".join(notes))
    return data, tuple(notes)


def _encode(kind: str, array: np.ndarray, photo: Photo, quality: int) -> tuple[bytes, list[str]]:
    if kind == "TIFF":
        return tiff.encode_tiff(array, photo)
    options, notes = metadata.options(kind, photo, array.shape[1], array.shape[0])
    if array.dtype == np.uint16:
        return encode_png16(array, **options), notes
    if kind in ("JPEG", "WEBP"):
        options["quality"] = quality
    if kind == "JPEG":
        options["subsampling"] = 0
    if kind == "WEBP":
        options["exact"] = True  # colours under full transparency are kept
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(buffer, kind, **options)
    return buffer.getvalue(), notes


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
