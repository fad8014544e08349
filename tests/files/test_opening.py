import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from resemblance.core.files import opening
from resemblance.core.files.images import PictureError, read_photo
from resemblance.core.files.opening import check_memory, load

PLACE = Path("a.jpg")
SMOOTH = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)).resize((160, 120))


def jpeg(**options) -> bytes:
    buffer = io.BytesIO()
    SMOOTH.save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("part", [0.5, 0.8])
def test_of_a_jpeg_that_is_cut_short_the_part_is_read_that_is_there(tmp_path, caplog, part):
    whole = jpeg()
    (tmp_path / "whole.jpg").write_bytes(whole)
    (tmp_path / "a.jpg").write_bytes(whole[: int(part * len(whole))])
    photo, full = read_photo(tmp_path / "a.jpg"), read_photo(tmp_path / "whole.jpg")
    (note,) = photo.notes
    missing = int(note.split()[6])
    assert (
        note == f"it is cut short: the last {missing} of its 120 rows are missing and stay grey" and note in caplog.text
    )
    there = 120 - missing - 20  # a row of blocks that is there in part, and what their colours are blended with
    assert 8 <= missing <= 80 and torch.equal(photo.pixels[:, :there], full.pixels[:, :there])
    assert (photo.pixels[:, 120 - missing :] - 128 / 255).abs().max() < 0.01
    with pytest.raises(PictureError, match=r"a\.jpg: broken \(.*\); expected a whole"):
        read_photo(tmp_path / "a.jpg", strict=True)


def test_of_a_progressive_jpeg_finer_detail_is_missing(tmp_path):
    whole = jpeg(progressive=True)
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.notes == ("it is cut short: its end, or its finer detail, is missing",)
    assert np.abs(photo.pixels.numpy().transpose(1, 2, 0) * 255 - np.array(SMOOTH)).mean() < 20


def test_where_nothing_of_a_jpeg_is_left_it_is_broken(tmp_path):
    whole = jpeg()
    start = whole.index(b"\xff\xda")
    for end in (start + 14, start, 30):
        (tmp_path / "a.jpg").write_bytes(whole[:end])
        with pytest.raises(PictureError, match=r"broken .* expected a whole"):
            read_photo(tmp_path / "a.jpg")


def test_blocks_that_pillow_stumbles_over_are_left_out(tmp_path):
    whole = jpeg()
    spoilt = whole[:2] + b"\xff\xe0\x00\x09JFIF\0\1\0" + whole[2:]  # too short for what it says it is
    (tmp_path / "a.jpg").write_bytes(spoilt)
    (tmp_path / "whole.jpg").write_bytes(whole)
    photo = read_photo(tmp_path / "a.jpg")
    assert torch.equal(photo.pixels, read_photo(tmp_path / "whole.jpg").pixels)


def test_a_text_that_is_damaged_or_too_long_does_not_take_the_profile_along(tmp_path):
    buffer, texts = io.BytesIO(), PngInfo()
    texts.add_text("workflow", "x" * (2 << 20), zip=True)  # Pillow takes 1 MB
    SMOOTH.save(buffer, "PNG", pnginfo=texts, dpi=(300, 300), icc_profile=b"profile")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    photo = read_photo(tmp_path / "a.png")
    assert photo.notes == ("its texts are damaged or too long and are left out",)
    assert np.array_equal((photo.pixels.numpy().transpose(1, 2, 0) * 255).round(), np.array(SMOOTH))
    assert round(photo.dpi[0]) == 300 and photo.icc == b"profile"


def test_the_memory_is_the_limit(monkeypatch):
    size = (20_000, 10_000)
    monkeypatch.setattr(opening, "free_memory", lambda: 5_000_000_000)
    check_memory(size, PLACE)
    monkeypatch.setattr(opening, "free_memory", lambda: 4_000_000_000)
    with pytest.raises(PictureError, match=r"a\.jpg: 20000x10000 pixels need 4\.4 GB of memory, and 4\.0 GB are free"):
        check_memory(size, PLACE)
    monkeypatch.setattr(opening, "free_memory", lambda: None)
    check_memory((10**6, 10**6), PLACE)


def test_pictures_beyond_pillows_limit_are_read(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for kind in ("TIFF", "PNG", "JPEG", "WEBP", "BMP", "GIF"):
        buffer = io.BytesIO()
        SMOOTH.save(buffer, kind)
        assert load(buffer.getvalue(), PLACE)[0].size == (160, 120)


def test_the_free_memory_is_a_number_where_the_system_tells():
    free = opening.free_memory()
    assert free is None or 1 << 20 < free < 1 << 50
