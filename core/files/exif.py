"""EXIF blocks, made true of the picture that is written: upright, of its size, without the small copy of the old."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace

from .tags import LONG, MAKER_NOTE, OF_PIXELS, RATIONAL, SHORT, Tags, Value, assemble, parse

MARK = b"Exif\0\0"
ORIENTATION = 0x0112
WIDTH, HEIGHT = (0x0100, 0xA002), (0x0101, 0xA003)  # in the main folder, and in the photograph's
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
INCH = 2
SIZE_OR_PLACE = {256, 257, 531}  # of what says how pixels lie: cameras give it in EXIF, too
# Blocks with a place of their own: more pictures, XMP, IPTC, Photoshop's, the profile.
BLOCKS = {254, 255, 330, 700, 33723, 34377, 34675}
# Tags of a TIFF file that are about the photograph: title, description, maker, model, page, resolution, software, date,
# artist, computer, rating, rights, Windows' title, comment, author, keywords and subject.
DESCRIPTIVE = (
    {269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249, 33432, 36867}
    | {40091, 40092, 40093, 40094, 40095}
)  # fmt: skip
NAMES = {MAKER_NOTE: "the maker's note", 0x9286: "the user's comment", 271: "the maker", 272: "the model"}


def tidy(block: bytes) -> tuple[bytes | None, int | None, list[str]]:
    """What of an EXIF block is true of the upright picture.

    The small copy of the picture is left out: it shows the face as it was.

    Returns:
        The block, or None; the orientation that it gave, 1 to 8, or None; and what is wrong with it, in words.
    """
    try:
        tags, malformed = parse(block.removeprefix(MARK))
    except ValueError:
        return None, None, ["its EXIF block is malformed and is left out"]
    for tag in ((OF_PIXELS - SIZE_OR_PLACE) | BLOCKS) & tags.main.keys():
        del tags.main[tag]
    return _upright(tags, malformed, of_file=False)


def tidy_tiff(tags: Tags, malformed: list[int]) -> tuple[bytes | None, int | None, list[str]]:
    """As `tidy`, of the tags of a TIFF file: those that are about the photograph, not about the file."""
    main = {tag: value for tag, value in tags.main.items() if tag in {*DESCRIPTIVE, ORIENTATION}}
    return _upright(replace(tags, main=main), malformed, of_file=True)


def _upright(tags: Tags, malformed: list[int], of_file: bool) -> tuple[bytes | None, int | None, list[str]]:
    orientation = None
    if ORIENTATION in tags.main:
        given = tags.number(tags.main.pop(ORIENTATION))
        if given is not None and 0 <= given <= 8:  # 0 is "not known"
            orientation = given or None
            tags.main[ORIENTATION] = tags.numbers(1, kind=SHORT)
        else:
            malformed = [*malformed, ORIENTATION]
    notes = [f"malformed EXIF tags are left out ({_named(malformed)})"] if malformed else []
    if not any((tags.main.keys() - {ORIENTATION}, tags.exif, tags.gps, tags.interop)):
        return None, orientation, notes
    return _block(tags, not of_file), orientation, notes


def fit(
    block: bytes | None, width: int, height: int, limit: int | None = None, dpi: tuple[float, float] | None = None
) -> tuple[bytes | None, list[str]]:
    """A block that says the size of the picture that is written.

    Args:
        block: as `tidy` gives it, or None.
        width: of the picture [px].
        height: of the picture [px].
        limit: bytes that the format has room for; the largest values are left out until the block fits.
        dpi: resolution to add where the block has none [px per inch, across and down].

    Returns:
        The block, or None; and what was left out, in words.
    """
    try:
        tags = parse(block.removeprefix(MARK))[0] if block else Tags()
    except ValueError:
        return None, ["the EXIF block is malformed and is left out"]
    for (main, exif), size in ((WIDTH, width), (HEIGHT, height)):
        for folder, tag in ((tags.main, main), (tags.exif, exif)):
            if tag in folder:
                folder[tag] = tags.numbers(size)
    if dpi and X_RESOLUTION not in tags.main:
        across, down = (Value(RATIONAL, struct.pack(tags.order + "II", round(n * 10000), 10000)) for n in dpi)
        tags.main.update({X_RESOLUTION: across, Y_RESOLUTION: down, RESOLUTION_UNIT: tags.numbers(INCH, kind=SHORT)})
    if not any((tags.main, tags.exif, tags.gps, tags.interop)):
        return None, []
    left_out, stays = [], True
    while limit is not None and len(_block(tags, stays)) > limit:
        if stays:  # where the maker's note may move there are no gaps
            stays = False
            continue
        folders = (tags.main, tags.exif, tags.gps, tags.interop)
        folder, tag = max(((f, t) for f in folders for t in f), key=lambda pair: len(pair[0][pair[1]].data))
        left_out.append(tag)
        del folder[tag]
    notes = [f"EXIF tags are left out that are too large for the format ({_named(left_out)})"] if left_out else []
    return _block(tags, stays), notes


def for_tiff(block: bytes | None, order: str) -> tuple[Tags, list[str]]:
    """The tags of an EXIF block as a TIFF file takes them, and what is wrong with it, in words."""
    try:
        tags = parse(block.removeprefix(MARK))[0].ordered(order) if block else Tags(order)
    except ValueError:
        return Tags(order), ["the EXIF block is malformed and is left out"]
    for tag in OF_PIXELS | BLOCKS | {ORIENTATION}:
        tags.main.pop(tag, None)
    return tags, []


def _block(tags: Tags, maker_note_stays: bool) -> bytes:
    header = (b"II*\0" if tags.order == "<" else b"MM\0*") + tags.numbers(8, kind=LONG).data
    return MARK + header + assemble(tags, maker_note_stays=maker_note_stays)


def _named(numbers: Iterable[int]) -> str:
    return ", ".join(NAMES.get(tag, f"{tag:#06x}") for tag in dict.fromkeys(numbers))
