import io
import struct

import numpy as np
import pytest
from PIL import Image
from resemblance.core.files.exif import MARK, fit, for_tiff, tidy
from resemblance.core.files.tags import parse

NOTE = b"maker" * 40


def camera(orientation=6, **more):
    """A block as cameras write them: with a maker's note, a place, and a small copy of the picture."""
    exif = Image.Exif()
    exif[271], exif[274], exif[256], exif[257] = "Maker", orientation, 400, 300
    exif[0x8769] = {0x9003: "2001:02:03 04:05:06", 0xA002: 400, 0xA003: 300, 0x927C: NOTE, **more}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    block = bytearray(exif.tobytes())
    small = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(small, "JPEG")
    (count,) = struct.unpack_from(">H", block, 14)  # of the first folder, which lies at 8 behind the mark of 6
    at, size = len(block) - 6, len(small.getvalue())
    struct.pack_into(">I", block, 16 + 12 * count, at)
    folder = struct.pack(">H HHII HHII I", 2, 0x0201, 4, 1, at + 30, 0x0202, 4, 1, size, 0)
    return bytes(block) + folder + small.getvalue()


def read(block):
    exif = Image.Exif()
    exif.load(block)
    return exif


def test_what_stays_true_is_kept_and_what_does_not_is_corrected():
    given = camera()
    assert b"\xff\xd8\xff" in given and parse(given.removeprefix(MARK))[0].pages == 2
    block, orientation, notes = tidy(given)
    assert (
        orientation == 6
        and notes == []
        and b"\xff\xd8\xff" not in block
        and parse(block.removeprefix(MARK))[0].pages == 1
    )
    assert block.index(NOTE) == given.index(NOTE)  # makers count from the start of the block
    block, notes = fit(block, 600, 800)
    found = read(block)
    assert notes == [] and found[274] == 1 and (found[256], found[257]) == (600, 800) and found[271] == "Maker"
    inner = found.get_ifd(0x8769)
    assert (inner[0xA002], inner[0xA003], inner[0x9003], inner[0x927C]) == (600, 800, "2001:02:03 04:05:06", NOTE)
    assert found.get_ifd(0x8825)[2] == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("odd", [struct.pack(">HHI4s", 274, 2, 1, b"6"), struct.pack(">HHIHH", 274, 3, 1, 99, 0)])
def test_an_odd_orientation_is_left_out_alone(odd):
    given = camera()
    place = given.index(struct.pack(">HH", 274, 3))
    block, orientation, notes = tidy(given[:place] + odd + given[place + 12 :])
    assert (
        orientation is None and notes == ["malformed EXIF tags are left out (0x0112)"] and read(block)[271] == "Maker"
    )


def test_a_block_that_is_none_is_left_out():
    assert tidy(b"Exif\0\0nonsense") == (None, None, ["its EXIF block is malformed and is left out"])
    assert fit(b"nonsense", 1, 1) == (None, ["the EXIF block is malformed and is left out"])
    assert for_tiff(b"nonsense", "<")[1] == ["the EXIF block is malformed and is left out"]
    assert tidy(b"II*\0\x08\0\0\0\0\0\0\0\0\0") == (None, None, [])


def test_what_is_too_large_is_left_out_largest_first():
    comment = b"ASCII\0\0\0" + bytes(60_000)
    block, notes = fit(tidy(camera(**{}))[0], 1, 1, 65533)
    assert notes == [] and len(block) < 1500
    large = tidy(camera())[0]
    exif = read(large)
    exif[0x8769] = {**exif.get_ifd(0x8769), 0x9286: comment, 0x927C: bytes(30_000)}
    block, notes = fit(exif.tobytes(), 1, 1, 65533)
    assert notes == ["EXIF tags are left out that are too large for the format (the user's comment)"]
    assert len(block) < 32_000 and len(read(block).get_ifd(0x8769)[0x927C]) == 30_000
    assert len(fit(exif.tobytes(), 1, 1)[0]) > 90_000


def test_a_resolution_is_added_where_there_is_none():
    block, _ = fit(None, 10, 10, dpi=(300, 150.5))
    assert (read(block)[282], read(block)[283], read(block)[296]) == (300, 150.5, 2)
    assert read(fit(block, 10, 10, dpi=(72, 72))[0])[282] == 300
    assert fit(None, 10, 10) == (None, [])


def test_anything_gives_a_sound_block():
    whole, rng = camera(), np.random.default_rng(0)
    for _ in range(1500):
        data = bytearray(whole)
        for place in rng.integers(6, len(data), 6):
            data[place] = rng.integers(256)
        block, orientation, _ = tidy(bytes(data[: rng.integers(1, len(data) + 1)]))
        assert orientation in (None, *range(1, 9))
        block, _ = fit(block, 3, 4, 65533)
        assert block is None or (block.startswith(MARK) and tidy(block)[2] == [])
        for order in "<>":
            assert for_tiff(block, order)[0].order == order
