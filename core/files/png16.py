"""PNG files of 16 bits a channel, which Pillow reads as 8 bits and cannot write in colour."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL.PngImagePlugin import PngImageFile, PngInfo

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels → colour type of the header (PNG specification, section 11.2.1)
FILTER_UP = 2
METRES_IN_INCH = 0.0254


def is_png16(data: bytes) -> bool:
    """Whether a file is a PNG of 16 bits a channel, as its header says."""
    return data.startswith(SIGNATURE) and data[24:25] == b"\x10"


def read_png16(data: bytes) -> np.ndarray:
    """All 16 bits of every channel.

    Pillow's decoder is told twice how to unpack the samples, once to keep their high bytes and once their low ones.

    Returns:
        uint16 (H,W,C): grey, grey and alpha, RGB or RGBA. A transparent colour (tRNS) becomes an alpha channel.
    """
    image = PngImageFile(io.BytesIO(data))
    mode, packing = image.mode, str(image.tile[0][3])
    array: np.ndarray
    if packing == "LA;16B":
        array = _unpack(data, "RGBA").view(">u2").astype(np.uint16)  # four bytes a pixel, taken as they are
    elif packing == "I;16B":
        array = _unpack(data, packing)[..., None].astype(np.uint16)
    else:
        array = _unpack(data, f"{mode};16B").astype(np.uint16) << 8
        array |= _unpack(data, f"{mode};16L")
    key = image.info.get("transparency")
    if key is not None:
        alpha: np.ndarray = (array != np.array(key, np.uint16)).any(-1, keepdims=True) * np.uint16(65535)
        array = np.concatenate([array, alpha], -1)
    return array


def _unpack(data: bytes, packing: str) -> np.ndarray:
    image = PngImageFile(io.BytesIO(data))
    image.tile = [(*tile[:3], packing) for tile in image.tile]  # type: ignore[misc]
    return np.array(image)


def encode_png16(
    array: np.ndarray,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    pnginfo: PngInfo | None = None,
) -> bytes:
    """A PNG file of uint16 (H,W,C), C of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA); the rest as for Pillow's."""
    height, width, channels = array.shape
    rows = array.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), FILTER_UP, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0))]
    if icc_profile:
        chunks.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile)))
    if dpi:
        across, down = (round(n / METRES_IN_INCH) for n in dpi)
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks += [_chunk(chunk[0], chunk[1]) for chunk in (pnginfo.chunks if pnginfo else ())]
    chunks += [_chunk(b"IDAT", zlib.compress(filtered.data)), _chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
