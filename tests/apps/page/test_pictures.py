import base64
import io
import os

import numpy as np
import torch
from pages import TWO, take
from PIL import Image
from resemblance.core.apps.page import pictures
from resemblance.core.apps.page.pictures import INVENTED, array, invented, numbered, show, thumbnail


def test_pictures_are_rounded_to_levels_and_clamped():
    picture = torch.tensor([-1.0, 0.5, 2.0])[:, None, None].expand(3, 2, 4)
    assert array(picture).shape == (2, 4, 3) and array(picture)[1, 3].tolist() == [0, 128, 255]


def test_what_was_invented_is_coloured_and_all_else_grey():
    after = torch.tensor([0.2, 0.6, 0.4])[:, None, None].expand(3, 2, 2)
    invention = torch.tensor([[0.0, 1.0], [0.0, 0.5]])[None]
    shown = invented(after, invention).astype(int)
    assert np.ptp(shown[0, 0]) == 0
    grey = shown[0, 0, 0]
    assert np.abs(shown[0, 1] - (grey + 0.75 * (np.array(INVENTED) - grey))).max() <= 1
    assert np.abs(shown[1, 1] - (grey + 0.375 * (np.array(INVENTED) - grey))).max() <= 1


def test_faces_that_are_left_out_are_greyed(session):
    take(session, [TWO])
    opened = session.opened
    both = numbered(opened).astype(int)
    opened.chosen.discard(0)
    one = numbered(opened).astype(int)
    changed = (both != one).any(-1)
    x0, y0, x1, y1 = (round(v * opened.scale) for v in opened.faces[0].box)
    inside = (slice(y0 + 40, y1 - 5), slice(x0 + 5, x1 - 5))  # without its frame and its number
    assert changed[inside].mean() > 0.9 and one[inside].std() < 0.5 * both[inside].std()
    changed[max(0, y0 - 2) : y1 + 3, max(0, x0 - 2) : x1 + 3] = False
    assert not changed.any()


def test_a_thumbnail_is_a_picture_in_itself():
    kind, data = thumbnail(torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 300, 300)).split(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (kind, picture.format, picture.size) == ("data:image/jpeg;base64", "JPEG", (96, 96))
    assert np.abs(np.array(picture)[48, 48].astype(int) - (255, 0, 0)).max() < 5


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
