from pathlib import Path

import numpy as np
import pytest
import torch
from by_hand import found
from PIL import Image


@pytest.fixture
def picture(nodes, comfy, models_dir):
    """What a preview shows."""

    def of(shown):
        (file,) = shown.preview(nodes["ResemblanceRestoreFaces"]).as_dict()["images"]
        return Image.open(Path(comfy.folder_paths.temp_directory) / file["filename"])

    return of


def test_faces_are_shown_before_and_after(nodes, photos, picture):
    from resemblance.core.pipeline import FaceReport, LeftAlone, Restored
    from resemblance.nodes.shown import FACES, SIDE, Shown

    before = photos.movedim(-1, 1)
    after = 1 - before
    faces = found(photos, [(0, 0), (1, 180)]).faces
    reports = [
        FaceReport(faces[0], Restored(0.5, 0.1, False, (), None, None)),
        FaceReport(faces[1], LeftAlone("it is sharp")),
    ]
    shown = Shown()
    shown.add(before, after, reports)
    image = picture(shown)
    assert image.size == (2 * SIDE, 2 * SIDE)
    pixels = torch.from_numpy(np.array(image.convert("L"))).float()
    low = slice(SIDE // 2, SIDE)  # below the words
    assert (pixels[low, :SIDE] + pixels[low, SIDE:] - 255).abs().mean() < 3, "the face after is the negative of before"
    assert pixels[SIDE:, SIDE:].std() == 0, "a face that was left alone is shown once"
    shown.add(before, after, reports * FACES)
    assert picture(shown).height == FACES * SIDE


def test_that_there_is_no_face_is_shown(nodes, picture):
    from resemblance.nodes.shown import SIDE, Shown

    image = picture(Shown())
    assert image.size == (SIDE, SIDE) and len(image.getcolors(9999)) > 2
