"""The tags of TIFF files and of EXIF blocks, which are built alike: taken apart one by one, and put together again.

A value stays the bytes that it is; nothing is interpreted, so that nothing is lost (TIFF 6.0, section 2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

HEADERS = {b"II*\0": "<", b"MM\0*": ">"}
# Kind of value → bytes of one (TIFF 6.0, section 2), and of what is turned round where the order of bytes changes.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
UNITS = SIZES | {5: 4, 10: 4}
BYTES, TEXT, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
# Tags that point to a folder of more tags (EXIF 2.32, section 4.6.3), by the folder in which they stand.
POINTERS: dict[str, dict[int, str]] = {
    "main": {0x8769: "exif", 0x8825: "gps"},
    "exif": {0xA005: "interop"},
    "gps": {},
    "interop": {},
}
MAKER_NOTE = 0x927C
# What says how pixels lie in a file: size, bits, packing, strips, tiles, palette, channels, JPEG's tables, old JPEG,
# parts of YCbCr (TIFF 6.0 and its supplements).
OF_PIXELS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339, 347}
    | {*range(512, 522), 529, 530, 531, 532}
)


@dataclass(frozen=True)
class Value:
    """What a tag holds.

    Attributes:
        kind: number of its type, a key of ``SIZES``.
        data: the bytes, in the order of its :class:`Tags`.
        place: where it lay.
    """

    kind: int
    data: bytes
    place: int = 0


@dataclass(frozen=True)
class Tags:
    """Four folders of values by the number of their tag.

    Attributes:
        order: ``"<"`` where the least byte of a number comes first, ``">"`` where the greatest does.
        main: of the picture.
        exif: of the photograph.
        gps: of the place.
        interop: of the file's purpose.
        pages: how many pictures the file holds; in an EXIF block the second is a small copy.
    """

    order: str = "<"
    main: dict[int, Value] = field(default_factory=dict)
    exif: dict[int, Value] = field(default_factory=dict)
    gps: dict[int, Value] = field(default_factory=dict)
    interop: dict[int, Value] = field(default_factory=dict)
    pages: int = 1

    def number(self, value: Value | None) -> int | None:
        """The first number of a value, or None where it holds no whole one."""
        sign = {SHORT: "H", LONG: "I", 13: "I"}.get(value.kind) if value else None
        if value is None or sign is None or len(value.data) < SIZES[value.kind]:
            return None
        return struct.unpack_from(self.order + sign, value.data)[0]

    def numbers(self, *numbers: int, kind: int = LONG) -> Value:
        """Whole numbers as a value."""
        return Value(kind, struct.pack(f"{self.order}{len(numbers)}{'H' if kind == SHORT else 'I'}", *numbers))

    def ordered(self, order: str) -> Tags:
        """The same in another order of bytes."""
        if order == self.order:
            return self
        folders = {name: {tag: _turned(value) for tag, value in getattr(self, name).items()} for name in POINTERS}
        return replace(self, order=order, **folders)  # type: ignore[arg-type]


def parse(data: bytes) -> tuple[Tags, list[int]]:
    """Take a TIFF file or an EXIF block (without its ``Exif`` mark) apart.

    Returns:
        The tags, and the numbers of those that are malformed and left out.

    Raises:
        ValueError: it begins as neither does.
    """
    order = HEADERS.get(data[:4])
    if order is None or len(data) < 8:
        raise ValueError(f"Got {data[:8]!r}; expected the start of TIFF tags, 'II*' or 'MM*'. Leave the block out.")
    tags, malformed, room = Tags(order), [], len(data)
    (first,) = struct.unpack_from(order + "I", data, 4)
    places = {"main": first}
    for name in POINTERS:  # a folder stands behind those that point to it
        for tag, value in _entries(data, order, places.get(name, 0)):
            if value is None or (room := room - len(value.data)) < 0:  # more values than bytes: they share them
                malformed.append(tag)
            elif inner := POINTERS[name].get(tag):
                place = tags.number(value)
                if place is None or not 8 <= place <= len(data) - 2 or place in places.values():
                    malformed.append(tag)
                else:
                    places[inner] = place
            else:
                getattr(tags, name)[tag] = value
    return replace(tags, pages=_pages(data, order, first)), malformed


def _entries(data: bytes, order: str, start: int) -> Iterator[tuple[int, Value | None]]:
    """The tags of one folder; None for a value that is malformed."""
    if not 8 <= start <= len(data) - 2:
        return
    (count,) = struct.unpack_from(order + "H", data, start)
    for place in range(start + 2, min(start + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHI", data, place)
        size = SIZES.get(kind, 0) * number
        where = place + 8 if size <= 4 else struct.unpack_from(order + "I", data, place + 8)[0]
        whole = kind in SIZES and where + size <= len(data)
        yield tag, Value(kind, data[where : where + size], where) if whole else None


def _pages(data: bytes, order: str, start: int) -> int:
    seen: set[int] = set()
    while 8 <= start <= len(data) - 2 and start not in seen:
        seen.add(start)
        end = start + 2 + 12 * struct.unpack_from(order + "H", data, start)[0]
        start = struct.unpack_from(order + "I", data, end)[0] if end + 4 <= len(data) else 0
    return max(1, len(seen))


def assemble(tags: Tags, start: int = 8, maker_note_stays: bool = False) -> bytes:
    """The folders and their values, as they lie from byte `start` of a file on; the main one comes first.

    Args:
        tags: what is written.
        start: an even number.
        maker_note_stays: the maker's own note is put where it lay: makers count bytes from the start of the block.
    """
    folders, end = _folders(tags), start
    note = tags.exif.get(MAKER_NOTE) if maker_note_stays else None
    free = note is not None and len(note.data) > 4 and note.place >= start + _length(folders["main"])
    pinned = range(note.place, note.place + len(note.data)) if note and free else range(0)

    def room(size: int) -> int:
        nonlocal end
        end += end & 1
        if end < pinned.stop and end + size > pinned.start:
            end = pinned.stop + (pinned.stop & 1)
        end += size
        return end - size

    tables = {name: room(_length(folder)) for name, folder in folders.items()}
    parts: list[tuple[int, bytes]] = []
    for name, folder in folders.items():
        table = struct.pack(tags.order + "H", len(folder))
        for tag, value in sorted(folder.items()):
            inner = POINTERS[name].get(tag)
            if inner:
                value = tags.numbers(tables[inner])
            if len(value.data) <= 4:
                data = value.data.ljust(4, b"\0")
            else:
                place = value.place if value is note and pinned else room(len(value.data))
                parts.append((place, value.data))
                data = struct.pack(tags.order + "I", place)
            table += struct.pack(tags.order + "HHI", tag, value.kind, len(value.data) // SIZES[value.kind]) + data
        parts.append((tables[name], table + bytes(4)))
    block = bytearray(max(place + len(data) for place, data in parts) - start)
    for place, data in parts:
        block[place - start : place - start + len(data)] = data
    return bytes(block)


def _length(folder: Mapping[int, Value]) -> int:
    """Of the table of a folder: how many, twelve bytes for each, and where the next one is."""
    return 6 + 12 * len(folder)


def _folders(tags: Tags) -> dict[str, Mapping[int, Value]]:
    """The folders that hold something, and in each a place for the pointers to others."""
    folders: dict[str, Mapping[int, Value]] = {}
    for name in ("interop", "gps", "exif", "main"):
        pointers = {tag: Value(LONG, b"") for tag, inner in POINTERS[name].items() if inner in folders}
        if getattr(tags, name) or pointers or name == "main":
            folders[name] = getattr(tags, name) | pointers
    return dict(reversed(folders.items()))


def _turned(value: Value) -> Value:
    unit = UNITS[value.kind]
    data = np.frombuffer(value.data, np.uint8).reshape(-1, unit)[:, ::-1].tobytes()
    return replace(value, data=data)
