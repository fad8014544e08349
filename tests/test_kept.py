"""What a mildly damaged face still shows stays: the colour of its eyes, moles."""

import math

import numpy as np
import pytest
import torch
from pages import EXAMPLES
from PIL import Image, ImageDraw, ImageFilter
from resemblance.core.faces.detect import detect_faces
from resemblance.core.faces.measure import luma
from resemblance.core.loading import load_models
from resemblance.core.pipeline import restore_photos

IRISES = {"brown": (85, 50, 30), "green": (85, 105, 60), "blue": (75, 115, 160), "grey": (120, 125, 128)}


@pytest.fixture(scope="module")
def models():
    return load_models(detector="builtin")


@pytest.fixture(scope="module")
def man(models):
    """A photograph, its face, and how large a pixel of the template is in it."""
    photo = Image.open(EXAMPLES / "man_truth.jpg").convert("RGB")
    (face,) = detect_faces(tensor(photo)[None], models.detector)
    (x0, y0), (x1, y1) = face.landmarks[:2]
    return photo, face, math.hypot(x1 - x0, y1 - y0) / 127


def tensor(photo):
    return torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1).float() / 255


def painted(photo, spots, colour, strength=0.85):
    """The photograph with discs (x, y, outer radius, inner radius) in a colour, as dark and as bright as before."""
    mask = Image.new("L", [4 * n for n in photo.size])
    draw = ImageDraw.Draw(mask)
    for x, y, outer, inner in spots:
        for radius, value in ((outer, 255), (inner, 0)):
            draw.ellipse([4 * (v + s * radius) for s in (-1, 1) for v in (x, y)], fill=value)
    alpha = strength * np.asarray(mask.resize(photo.size, Image.Resampling.BOX), np.float32)[..., None] / 255
    return Image.fromarray(np.uint8(np.asarray(photo) * (1 - alpha) + alpha * np.float32(colour)))


def damaged(photo, blur, shrink, quality, tmp_path):
    small = photo.filter(ImageFilter.GaussianBlur(blur)).resize([round(n / shrink) for n in photo.size])
    small.save(tmp_path / "small.jpg", quality=quality)
    return Image.open(tmp_path / "small.jpg").resize(photo.size, Image.Resampling.BILINEAR)


def ring(picture, x, y, outer, inner):
    """Mean colour (3,) between two circles."""
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in picture.shape[1:]), indexing="ij")
    distance = torch.hypot(columns - x, rows - y)
    return picture[:, (distance < outer) & (distance >= inner)].mean(1)


def restored(photo, face, models):
    result = restore_photos(tensor(photo)[None], models, [face])
    assert result.faces[0].restored, "it is damaged enough to be restored"
    return result.pixels[0], result.faces[0].restored.blend


@pytest.mark.parametrize("colour", IRISES)
def test_eyes_keep_their_colour(man, models, colour, tmp_path):
    photo, face, px = man
    eyes = [(x, y, 8 * px, 3.5 * px) for x, y in face.landmarks[:2]]
    photo = damaged(painted(photo, eyes, IRISES[colour]), 1.2 * px, 1.5, 85, tmp_path)
    result, _ = restored(photo, face, models)
    before, after = (torch.stack([ring(x, *eye) for eye in eyes]).mean(0) for x in (tensor(photo), result))
    chroma, kept = (rgb - luma(rgb[:, None, None]) for rgb in (before, after))
    assert float((kept - chroma).abs().max()) < 0.02, "five levels of 255 at most"
    if colour != "grey":
        assert float(torch.cosine_similarity(kept.flatten(), chroma.flatten(), 0)) > math.cos(math.radians(9))


def test_a_mole_stays(man, models, tmp_path):
    photo, face, px = man
    eye, mouth = face.landmarks[0], face.landmarks[3]
    x, y = 0.5 * (eye[0] + mouth[0]) - 8 * px, 0.5 * (eye[1] + mouth[1])

    def depth(picture):
        skin, mole = (luma(ring(picture, x, y, *radii)[:, None, None]) for radii in ((13 * px, 9 * px), (5 * px, 0)))
        return float(skin - mole)

    photo = damaged(painted(photo, [(x, y, 5 * px, 0)], (70, 45, 35)), 1.2 * px, 1.5, 85, tmp_path)
    result, blend = restored(photo, face, models)
    assert blend > 0.3 and depth(tensor(photo)) > 0.1
    assert depth(result) > 0.8 * depth(tensor(photo))
