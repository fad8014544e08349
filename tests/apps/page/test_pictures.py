import base64
import io
import os

import numpy as np
import torch
from PIL import Image
from resemblance.core.apps.page import pictures
from resemblance.core.apps.page.pictures import INVENTED, array, invented, show, thumbnail


def test_pictures_are_rounded_to_levels_and_clamped():
    picture = torch.tensor([-1.0, 0.5, 2.0])[:, None, None].expand(3, 2, 4)
    assert array(picture).shape == (2, 4, 3) and array(picture)[1, 3].tolist() == [0, 128, 255]


def test_what_was_invented_is_coloured_and_all_else_grey():
    after = torch.tensor([0.2, 0.6, 0.4])[:, None, None].expand(3, 2, 2)
    invention = torch.tensor([[0.0, 1.0], [0.0, 0.5]])[None]
    shown = array(invented(after, invention)).astype(int)
    assert np.ptp(shown[0, 0]) == 0
    grey = shown[0, 0, 0]
    assert np.abs(shown[0, 1] - (grey + 0.75 * (np.array(INVENTED) - grey))).max() <= 1
    assert np.abs(shown[1, 1] - (grey + 0.375 * (np.array(INVENTED) - grey))).max() <= 1


def test_a_thumbnail_is_a_picture_in_itself():
    kind, data = thumbnail(torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 300, 300)).split(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (kind, picture.format, picture.size) == ("data:image/jpeg;base64", "JPEG", (96, 96))
    assert np.abs(np.array(picture)[48, 48].astype(int) - (255, 0, 0)).max() < 5


def test_of_a_wide_picture_a_thumbnail_shows_the_middle():
    wide = torch.zeros(3, 100, 300)
    wide[:, :, 100:200] = 1
    picture = Image.open(io.BytesIO(base64.b64decode(thumbnail(wide, 40).split(",")[1])))
    assert picture.size == (40, 40) and np.array(picture).min() > 245


def test_a_picture_that_is_shown_is_a_file_at_once_and_the_newest_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "NEWEST", 3)

    def shown(level):
        for path in (tmp_path / "shown").glob("*"):  # a second later
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**9))
        return show(np.full((4, 6, 3), level, np.uint8), tmp_path / "shown")

    first = shown(0)
    assert Image.open(first).size == (6, 4) and Image.open(first).format == "JPEG"
    second = shown(60)
    assert shown(0) == first != second
    others = [shown(120), shown(180)]
    assert {str(path) for path in (tmp_path / "shown").iterdir()} == {first, *others}
