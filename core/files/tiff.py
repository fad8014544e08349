"""TIFF files: their first page alone, apart from all that could be wrong in their tags; 16 bits a channel; packing."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from . import exif, xmp
from .colour import cmyk_to_rgb
from .metadata import sound
from .opening import load
from .photo import Carried, PictureError
from .tags import BYTES, OF_PIXELS, RATIONAL, SHORT, UNDEFINED, Tags, Value, assemble, parse

# Tags (TIFF 6.0, section 8, and supplements).
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, CHANNELS = 256, 257, 258, 259, 262, 273, 277
ROWS, STRIP_BYTES, PLANES, PREDICTOR, TILE_WIDTH, TILE_BYTES = 278, 279, 284, 317, 322, 325
TILES, EXTRA, FORMAT, XMP, IPTC, PROFILE = 324, 338, 339, 700, 33723, 34675
GREY_FROM_WHITE, GREY, COLOUR, INK = 0, 1, 2, 5  # of PHOTOMETRIC
MULTIPLIED = 1  # of EXTRA: alpha, by which the colours are multiplied
DIFFERENCES = 2  # of PREDICTOR: each sample is the difference to its left neighbour
# Pillow's names of how files are packed, of those that lose nothing and are written again.
PACKINGS = {1: "raw", 5: "tiff_lzw", 8: "tiff_adobe_deflate", 32946: "tiff_adobe_deflate", 32773: "packbits"}


def first_page(data: bytes, tags: Tags) -> bytes:
    """A file with the pixels of the first page, and no tags but those that say how they lie."""
    return _with_tags(data, {tag: value for tag, value in tags.main.items() if tag in OF_PIXELS}, tags)


def _with_tags(data: bytes, main: dict[int, Value], tags: Tags) -> bytes:
    end = len(data) + len(data) % 2
    header = data[:4] + struct.pack(tags.order + "I", end)
    return b"".join((header, data[8:], bytes(end - len(data)), assemble(Tags(tags.order, main), end)))


def metadata(tags: Tags, malformed: list[int]) -> tuple[Carried, int, list[str]]:
    """As :func:`.metadata.collect`, of a TIFF file."""
    block, orientation, notes = exif.tidy_tiff(tags, [tag for tag in malformed if tag not in OF_PIXELS])
    packet, turned = None, None
    if XMP in tags.main:
        packet, turned, told = xmp.tidy(tags.main[XMP].data)
        notes += told
    if tags.pages > 1:
        notes.append(f"it holds {tags.pages} pages: the first is read, the others are left out")
    iptc, icc = (tags.main[tag].data if tag in tags.main else None for tag in (IPTC, PROFILE))
    packing = PACKINGS.get(tags.number(tags.main.get(COMPRESSION)) or 1, "tiff_adobe_deflate")
    carried = Carried(exif=block, icc=icc, xmp=packet, iptc=iptc, dpi=_resolution(tags), compression=packing)
    return carried, orientation or turned or 1, notes


def of_large_file(image: Image.Image, path: Path) -> str:
    """What is to be said of a file for more than 4 GB (BigTIFF), of which Pillow alone reads what there is.

    Raises:
        PictureError: it has more than 8 bits a channel.
    """
    if max(image.tag_v2.get(BITS, (8,))) > 8:  # type: ignore[attr-defined]
        raise PictureError(f"{path}: BigTIFF of more than 8 bits a channel; expected 8. Save it as plain TIFF.")
    return "all but its pixels, profile, XMP and resolution is left out (BigTIFF)"


def _resolution(tags: Tags) -> tuple[float, float] | None:
    inches = {2: 1.0, 3: 2.54}.get(tags.number(tags.main.get(exif.RESOLUTION_UNIT)) or 2)
    values = [tags.main.get(tag) for tag in (exif.X_RESOLUTION, exif.Y_RESOLUTION)]
    if not inches or not all(value and value.kind == RATIONAL and len(value.data) >= 8 for value in values):
        return None
    pairs = [struct.unpack_from(tags.order + "II", value.data) for value in values if value]
    return sound([inches * over / under for over, under in pairs]) if all(under for _, under in pairs) else None


def is_ink(tags: Tags) -> bool:
    """Whether the colours are CMYK."""
    return tags.number(tags.main.get(PHOTOMETRIC)) == INK


def bits(tags: Tags) -> int:
    """Of the first channel; of whole numbers without a sign, or 0."""
    kind = tags.number(tags.main.get(FORMAT)) or 1
    return tags.number(tags.main.get(BITS)) or 1 if kind == 1 else 0


def samples16(data: bytes, tags: Tags, path: Path) -> np.ndarray:
    """All 16 bits of every channel.

    Pillow is told that the file holds one channel of bytes: however it is packed, and whatever the channels are, it
    gives back the very bytes of the samples.

    Returns:
        uint16 (H,W,C): grey or RGB, and alpha where there is one; colours are not multiplied by it. Of CMYK uint8
        (H,W,3), as sRGB.

    Raises:
        PictureError: colours of another kind, a picture larger than the memory, or a broken file.
    """
    main = tags.main
    width, height, channels, planes, photometric, predictor, tile = (
        tags.number(main.get(tag)) or default
        for tag, default in (
            (WIDTH, 0), (HEIGHT, 0), (CHANNELS, 1), (PLANES, 1), (PHOTOMETRIC, 0), (PREDICTOR, 1), (TILE_WIDTH, 0)
        )
    )  # fmt: skip
    colours = {GREY_FROM_WHITE: 1, GREY: 1, COLOUR: 3, INK: 4}.get(photometric, 0)
    if not 0 < colours <= channels or predictor > DIFFERENCES:
        raise PictureError(
            f"{path}: TIFF of 16 bits, kind {photometric}, {channels} channels, predictor {predictor}; expected grey, "
            "RGB or CMYK. Convert it first."
        )
    together = 1 if planes == 2 else channels  # channels that lie side by side
    parts = []
    for plane in range(channels // together):
        part = _bytes(data, tags, together, plane, channels // together, path)
        part = part.view(tags.order + "u2").reshape(height, -1, together)[:, :width].astype(np.uint16, copy=False)
        if predictor == DIFFERENCES:
            for left in range(0, width, tile or width):
                block = part[:, left : left + (tile or width)]
                np.cumsum(block, 1, np.uint16, block)
        parts.append(part)
    array = np.concatenate(parts, 2) if len(parts) > 1 else parts[0]
    if photometric == INK:
        ink = Image.fromarray((array[..., :4] >> 8).astype(np.uint8), "CMYK")
        ink.info["icc_profile"] = main[PROFILE].data if PROFILE in main else None
        return np.array(cmyk_to_rgb(ink))
    if photometric == GREY_FROM_WHITE:
        array[..., 0] = 65535 - array[..., 0]
    kind = tags.number(main.get(EXTRA)) if EXTRA in main else 2
    if channels > colours and kind == MULTIPLIED:
        alpha = array[..., colours : colours + 1].astype(np.float32)
        array[..., :colours] = np.minimum(65535, array[..., :colours] * (65535 / np.maximum(alpha, 1)) + 0.5)
    return array[..., : colours + (channels > colours and kind in (MULTIPLIED, 2))]


def _bytes(data: bytes, tags: Tags, channels: int, plane: int, planes: int, path: Path) -> np.ndarray:
    """The samples of channels that lie side by side, as bytes (H, at least 2*W*channels)."""
    main = {tag: value for tag, value in tags.main.items() if tag in OF_PIXELS - {EXTRA, FORMAT, PREDICTOR, 320}}
    for tag in (WIDTH, TILE_WIDTH):
        if tag in main:
            main[tag] = tags.numbers(2 * channels * (tags.number(main[tag]) or 0))
    main |= {BITS: tags.numbers(8, kind=SHORT), CHANNELS: tags.numbers(1, kind=SHORT)}
    main |= {PHOTOMETRIC: tags.numbers(GREY, kind=SHORT), PLANES: tags.numbers(1, kind=SHORT)}
    for tag in (STRIPS, STRIP_BYTES, TILES, TILE_BYTES):
        if tag in main:
            each = len(main[tag].data) // planes
            main[tag] = replace(main[tag], data=main[tag].data[plane * each : (plane + 1) * each])
    size = tags.number(tags.main.get(WIDTH)) or 0, tags.number(tags.main.get(HEIGHT)) or 0
    return np.array(load(_with_tags(data, main, tags), path, size=size)[0])


def encode_tiff(array: np.ndarray, carried: Carried) -> tuple[bytes, list[str]]:
    """A TIFF file of uint8 or uint16 (H,W,C), C of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).

    Pillow packs the bytes of the samples as one channel; the tags are put behind.

    Returns:
        The file, packed as the photograph's was where it was a TIFF, and what is left out, in words.
    """
    height, width, channels = array.shape
    packing = carried.compression or "raw"
    predicted = packing in ("tiff_lzw", "tiff_adobe_deflate")
    if predicted:
        array = np.concatenate([array[:, :1], array[:, 1:] - array[:, :-1]], 1)
    plain = np.ascontiguousarray(array.astype("<u2") if array.dtype == np.uint16 else array)
    buffer = io.BytesIO()
    Image.fromarray(plain.reshape(height, -1).view(np.uint8)).save(buffer, "TIFF", compression=packing)
    data = buffer.getvalue()
    tags = parse(data)[0]
    about, notes = exif.for_tiff(exif.fit(carried.exif, width, height)[0], tags.order)
    main = about.main | {tag: tags.main[tag] for tag in (HEIGHT, COMPRESSION, STRIPS, ROWS, STRIP_BYTES)}
    main[WIDTH] = tags.numbers(width)
    short = {
        BITS: (8 * array.itemsize,) * channels,
        PHOTOMETRIC: (COLOUR if channels > 2 else GREY,),
        CHANNELS: (channels,),
        PLANES: (1,),
    }
    short |= {PREDICTOR: (DIFFERENCES,)} if predicted else {}
    short |= {EXTRA: (2,)} if channels in (2, 4) else {}
    if carried.dpi:
        main |= {
            tag: Value(RATIONAL, struct.pack(tags.order + "II", round(n * 10000), 10000))
            for tag, n in zip((exif.X_RESOLUTION, exif.Y_RESOLUTION), carried.dpi, strict=True)
        }
        short[exif.RESOLUTION_UNIT] = (exif.INCH,)
    main |= {tag: tags.numbers(*numbers, kind=SHORT) for tag, numbers in short.items()}
    packet = xmp.fit(carried.xmp, width, height) if carried.xmp else None
    for tag, kind, block in ((XMP, BYTES, packet), (IPTC, UNDEFINED, carried.iptc), (PROFILE, UNDEFINED, carried.icc)):
        if block:
            main[tag] = Value(kind, block)
    if carried.text:
        notes.append(f"TIFF has no place for {', '.join(f'the text {key!r}' for key, _ in carried.text)}")
    end = len(data) + len(data) % 2
    whole = replace(about, main=main, order=tags.order)
    return (
        data[:4] + struct.pack(tags.order + "I", end) + data[8:] + bytes(end - len(data)) + assemble(whole, end),
        notes,
    )
