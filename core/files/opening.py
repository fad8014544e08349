"""Opens pictures with Pillow, pixels first: what is wrong beside them does not keep them from being read."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from .formats import KNOWN, kind_of, readable, without
from .photo import PictureError

# What Pillow raises on broken files.
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error),
    Image.DecompressionBombError,  # of a picture in a GIF that is larger than the whole
)
MOVING = ("PNG", "WEBP", "GIF", "AVIF")  # several pictures in one file are frames
END_OF_JPEG = b"\xff\xd9"
BLOCK = 16  # rows of pixels in one row of JPEG's blocks, at most
# Bytes for each pixel while one is read: what Pillow decodes, its samples, and three channels of float32.
BYTES_A_PIXEL = 22
PNG_START = 8
PIXELS_OF_PNG = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
CUT = "it is cut short"
TEXTS_OF_PNG = (b"tEXt", b"zTXt", b"iTXt")
TEXTS = "its texts are damaged or too long and are left out"
DAMAGED = "what belongs to it beside the pixels is damaged and is left out"


def load(
    data: bytes, path: Path, strict: bool = False, size: tuple[int, int] | None = None
) -> tuple[ImageFile.ImageFile, bytes, list[str]]:
    """The picture of a file, decoded.

    Args:
        data: the file's bytes.
        path: its name, for messages.
        strict: refuse a JPEG that is cut short, of which else the part is read that is there.
        size: width and height of the picture, where the file says another for a purpose [px].

    Returns:
        The picture; the bytes that it was read from, the file's as far as they are sound; what is missing, in words.

    Raises:
        PictureError: it is larger than the memory, of a format that is not known, moving, or broken.
    """
    first: Exception | None = None
    for mended, note in _mended(data, strict):
        try:
            image = _opened(mended, path)
            check_memory(size or image.size, path)
            if image.format == "TIFF":  # for which Pillow looks at its limit once more, unless there is room already
                image.im = Image.new(image.mode, getattr(image, "_tile_size", image.size)).im
            image.load()
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format in MOVING:
                raise PictureError(f"{path}: holds {frames} pictures, which move; expected one. Extract them first.")
            if note == CUT:
                note = _missing(image)
        except PictureError:
            raise
        except BROKEN as error:
            first = first or error
        else:
            return image, mended, [note] if note else []
    raise broken(path, first) from first


def broken(path: Path, error: Exception | None) -> PictureError:
    """The error of a file that Pillow stumbled over."""
    return PictureError(f"{path}: broken ({error}); expected a whole {KNOWN} file. Fetch it again.")


def check_memory(size: tuple[int, int], path: Path) -> None:
    """Raise PictureError where a picture of this size [px] is larger than the memory that is free."""
    free = free_memory()
    need = size[0] * size[1] * BYTES_A_PIXEL
    if free is not None and need > free:
        raise PictureError(
            f"{path}: {size[0]}x{size[1]} pixels need {need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; "
            "expected a smaller picture. Shrink it, cut it up, or use a larger machine."
        )


def free_memory() -> int | None:
    """Bytes that a program can still have, where the system tells (Linux); elsewhere too much is an error by itself."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _opened(data: bytes, path: Path) -> ImageFile.ImageFile:
    """As Image.open, without its limit of pixels, which knows nothing of the memory."""
    kinds = readable()
    Image.preinit()
    for kind in kinds:
        if kind not in Image.OPEN:
            Image.init()
        factory, accept = Image.OPEN[kind]
        if accept is None or accept(data[:16]) is True:
            return factory(io.BytesIO(data), "")
    advice = without(kind_of(data) or "")
    expected = f"{advice}." if advice else "Convert it first."
    raise PictureError(f"{path}: not a picture that can be read; expected {KNOWN}. {expected}")


def _mended(data: bytes, strict: bool) -> Iterator[tuple[bytes, str]]:
    """The file, and then what is left where that cannot be read: with what is said of it."""
    yield data, ""
    if data.startswith(b"\xff\xd8"):
        bare = _bare_jpeg(data)
        yield bare, DAMAGED
        if not strict:
            yield data + END_OF_JPEG, CUT
            yield bare + END_OF_JPEG, CUT
    elif data.startswith(b"\x89PNG"):
        yield _bare_png(data, lambda kind, sound: kind in PIXELS_OF_PNG or (sound and kind not in TEXTS_OF_PNG)), TEXTS
        yield _bare_png(data, lambda kind, sound: kind in PIXELS_OF_PNG), DAMAGED


def _missing(image: Image.Image) -> str:
    """How much of a JPEG is missing that was cut short.

    Where there is nothing to decode, libjpeg gives blocks of zeros: grey.

    Raises:
        ValueError: all of it.
    """
    array = np.asarray(image)
    plain = (array == array[-1, -1]).reshape(len(array), -1).all(1)
    rows = len(array) if plain.all() else int(np.argmin(plain[::-1]))
    if rows >= len(array) - BLOCK:  # the first row of blocks may be decoded from nothing, too
        raise ValueError("nothing of the picture is left")
    if rows and (np.abs(array[-1, -1].astype(int) - 128) <= 1).all():
        return f"it is cut short: the last {rows} of its {len(array)} rows are missing and stay grey"
    return "it is cut short: its end, or its finer detail, is missing"


def _bare_jpeg(data: bytes) -> bytes:
    """Without comments and blocks of programs, but Adobe's, which says how colours are meant (ITU-T T.81, B.1.1)."""
    parts, place = [data[:2]], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in (0xFF, 0xDA):  # a byte that fills; the picture begins
            if marker == 0xFF:
                place += 1
                continue
            break
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if not (0xE0 <= marker <= 0xED or marker in (0xEF, 0xFE)):
            parts.append(data[place:end])
        place = end
    return b"".join((*parts, data[place:]))


def _bare_png(data: bytes, kept: Callable[[bytes, bool], bool]) -> bytes:
    """The chunks of a PNG file that are kept, by their kind and by whether they are sound (its specification, 5)."""
    parts, place = [data[:PNG_START]], PNG_START
    while place + 8 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        kind, check = data[place + 4 : place + 8], data[end - 4 : end]
        if kept(kind, check == zlib.crc32(data[place + 4 : end - 4]).to_bytes(4, "big")):
            parts.append(data[place:end])
        place = end
    return b"".join(parts)
