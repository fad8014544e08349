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
    assert image.width == 2 * SIDE and 2 * SIDE < image.height < 3 * SIDE, "a sentence stands under each face"
    pixels = torch.from_numpy(np.array(image.convert("L"))).float()
    low = slice(SIDE // 2, SIDE)  # below the words
    assert (pixels[low, :SIDE] + pixels[low, SIDE:] - 255).abs().mean() < 3, "the face after is the negative of before"
    second = slice(image.height // 2 + SIDE // 4, image.height // 2 + SIDE // 2)
    assert pixels[second, SIDE:].std() == 0, "a face that was left alone is shown once"
    shown.add(before, after, reports * FACES)
    assert picture(shown).height == FACES // 2 * image.height


def test_what_was_torn_is_marked_before(nodes, photos, picture):
    from resemblance.core.faces.preview import COLOURS
    from resemblance.core.pipeline import FaceReport, Restored
    from resemblance.nodes.shown import SIDE, Shown

    grey = torch.full((1, 3, 240, 400), 0.5)
    (face,) = found(photos, [(0, 0)]).faces
    torn = torch.zeros(1, 512, 512)
    torn[:, 300:360] = 1
    shown = Shown()
    shown.add(grey, grey, [FaceReport(face, Restored(1.0, 0.1, False, (), None, None, 0.1, torn))])
    image = np.asarray(picture(shown)).astype(float)
    orange = 0.4 * 127.5 + 0.6 * np.array(COLOURS[1])
    row = 330 * SIDE // 512
    assert np.abs(image[row, :SIDE] - orange).max() < 3 and np.abs(image[row, SIDE:] - 127.5).max() < 2
    assert np.abs(image[SIDE - 20, : 2 * SIDE] - 127.5).max() < 2


def test_the_first_faces_are_shown_with_what_there_is_to_see(nodes, comfy, models_dir, photos):
    from resemblance.nodes.shown import COLUMNS, FACES, SIDE, faces_preview

    faces = found(photos, [(0, 0)] * (FACES + 1)).faces
    views, words = [torch.ones(3, 64, 64)] * FACES, ["anna"] * (FACES + 1)
    (file,) = faces_preview(nodes["ResemblanceRestoreFaces"], faces, views, words).as_dict()["images"]
    image = Image.open(Path(comfy.folder_paths.temp_directory) / file["filename"])
    assert image.size == (COLUMNS * SIDE, FACES // COLUMNS * SIDE)
    assert image.convert("L").getpixel((SIDE - 2, SIDE - 2)) == 255


def test_that_there_is_no_face_is_shown(nodes, picture):
    from resemblance.nodes.shown import SIDE, Shown

    image = picture(Shown())
    assert image.size == (SIDE, SIDE) and len(image.getcolors(9999)) > 2
