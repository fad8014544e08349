import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from resemblance.core.files.tags import MAKER_NOTE, Tags, Value, assemble, parse


def block(tags: Tags, **options: bool) -> bytes:
    return (b"II*\0\x08\0\0\0" if tags.order == "<" else b"MM\0*\0\0\0\x08") + assemble(tags, **options)


NOTE = Value(7, bytes(range(200)), 500)
TAGS = Tags(
    main={271: Value(2, b"Maker\0"), 274: Value(3, b"\x06\0")},
    exif={0x9003: Value(2, b"2001:02:03 04:05:06\0"), MAKER_NOTE: NOTE},
    gps={1: Value(2, b"N\0"), 2: Value(5, struct.pack("<6I", 1, 1, 2, 1, 3, 1))},
    interop={1: Value(2, b"R98\0")},
)


@pytest.mark.parametrize("order", ["<", ">"])
def test_all_values_survive_and_pillow_reads_them(order):
    tags, malformed = parse(block(TAGS.ordered(order)))
    assert malformed == [] and tags.order == order and tags.pages == 1
    for name in ("main", "exif", "gps", "interop"):
        before, after = getattr(TAGS.ordered(order), name), getattr(tags, name)
        assert {tag: (v.kind, v.data) for tag, v in before.items()} == {t: (v.kind, v.data) for t, v in after.items()}
    exif = Image.Exif()
    exif.load(block(TAGS.ordered(order)))
    assert exif[271] == "Maker" and exif[274] == 6
    assert exif.get_ifd(0x8769)[0x9003] == "2001:02:03 04:05:06"
    assert exif.get_ifd(0x8825)[2] == (1.0, 2.0, 3.0) and exif.get_ifd(0xA005)[1] == "R98"


def test_the_makers_note_stays_where_it_lay():
    data = block(TAGS, maker_note_stays=True)
    assert data[500:700] == NOTE.data and parse(data)[0].exif[MAKER_NOTE] == NOTE
    assert len(block(TAGS)) < 500  # else there are no gaps
    early = replace(TAGS, exif={**TAGS.exif, MAKER_NOTE: replace(NOTE, place=90)})  # in the middle of what comes first
    again, malformed = parse(block(early, maker_note_stays=True))
    assert malformed == [] and again.exif[MAKER_NOTE] == replace(NOTE, place=90) and again.main[271].data == b"Maker\0"


def test_what_is_malformed_is_named_and_the_rest_is_kept():
    data = bytearray(block(TAGS))
    place = data.index(struct.pack("<HH", 271, 2))
    for spoilt in (struct.pack("<HHII", 271, 99, 6, 0), struct.pack("<HHII", 271, 2, 6, 10**6)):
        data[place : place + 12] = spoilt
        tags, malformed = parse(bytes(data))
        assert malformed == [271] and 271 not in tags.main and tags.number(tags.main[274]) == 6 and tags.gps
    pointer = data.index(struct.pack("<HH", 0x8769, 4))
    for target in (8, 10**6):  # onto itself, and behind the end
        data[pointer + 8 : pointer + 12] = struct.pack("<I", target)
        tags, malformed = parse(bytes(data))
        assert malformed == [271, 0x8769] and not tags.exif and tags.gps


def test_a_small_block_cannot_ask_for_much_memory():
    entry = struct.pack("<HHII", 700, 7, 60000, 8)
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 5000) + entry * 5000 + bytes(4)
    tags, malformed = parse(data)
    assert len(tags.main[700].data) == 60000 and len(malformed) == 4999


def test_pages_are_counted_and_a_circle_ends():
    page = struct.pack("<H", 0)
    assert parse(b"II*\0\x08\0\0\0" + page + struct.pack("<I", 14) + page + bytes(4))[0].pages == 2
    assert parse(b"II*\0\x08\0\0\0" + page + struct.pack("<I", 8))[0].pages == 1


def test_anything_is_read_without_another_error():
    whole, rng = block(TAGS), np.random.default_rng(0)
    for _ in range(2000):
        data = bytearray(whole)
        for place in rng.integers(8, len(data), 5):
            data[place] = rng.integers(256)
        tags, _ = parse(bytes(data[: rng.integers(8, len(data) + 1)]))
        assert sum(len(v.data) for f in (tags.main, tags.exif, tags.gps, tags.interop) for v in f.values()) <= len(data)
        again, malformed = parse(block(tags, maker_note_stays=True))
        assert again.main.keys() == tags.main.keys() and malformed == []


def test_other_bytes_are_no_tags():
    with pytest.raises(ValueError, match=r"Got b'hello, w'; expected the start of TIFF tags"):
        parse(b"hello, world")
