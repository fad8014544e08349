"""What a mildly damaged face still shows stays: the colour of its eyes, moles."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from pages import EXAMPLES
from PIL import Image, ImageDraw, ImageFilter
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.faces.measure import luma
from resemblance.core.geometry import invert, scale_of, transform
from resemblance.core.loading import load_models
from resemblance.core.pipeline import restore_photos
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.views import ReferencePhoto

IRISES = {"brown": (85, 50, 30), "green": (85, 105, 60), "blue": (75, 115, 160), "grey": (120, 125, 128)}


@pytest.fixture(scope="module")
def models():
    return load_models(detector="built-in")


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


def with_mole(path, at, radius, models):
    """A photograph with a mole on its face, at a place of the template [px], and the face."""
    photo = Image.open(path).convert("RGB")
    (face,) = detect_faces(tensor(photo)[None], models.detector)
    affine = crop_faces(tensor(photo)[None], [face]).affines[0]
    x, y = (transform(invert(affine), torch.tensor([at], dtype=affine.dtype))[0]).tolist()
    return painted(photo, [(x, y, radius / float(scale_of(affine)), 0)], (70, 45, 35)), face


@pytest.mark.parametrize("at, radius", [((320.0, 330.0), 7), ((256.0, 150.0), 6)])
def test_references_that_show_a_mole_bring_it_back(models, at, radius):
    degradation = pytest.importorskip("resemblance.core.training.degradation")
    truth, face = with_mole(EXAMPLES / "man_truth.jpg", at, radius, models)
    worn = degradation.degrade(np.asarray(truth).copy(), "moderate", np.random.default_rng(4))
    bad = tensor(Image.fromarray(worn))
    detect = partial(detect_faces, backend=models.detector)

    def depth(picture):
        view = crop_faces(picture[None], [face]).pixels[0]
        around = (4 * radius, 2.2 * radius), (0.7 * radius, 0)
        skin, mole = (luma(ring(view, *at, *radii)[:, None, None]) for radii in around)
        return float(skin - mole)

    def depth_with(pictures):
        photos = [ReferencePhoto(tensor(picture), str(n), "he") for n, picture in enumerate(pictures)]
        references = encode_references(photos, models.restorer, models.telling_apart, detect)
        return depth(restore_photos(bad[None], models, detect, None, references).pixels[0])

    paths = [EXAMPLES / f"man_reference_{n}.jpg" for n in (1, 2, 3)]
    shown = depth_with([with_mole(path, at, radius, models)[0] for path in paths])
    hidden = depth_with([Image.open(path).convert("RGB") for path in paths])
    assert shown > 0.6 * depth(tensor(truth)) > 1.2 * depth(bad)
    assert shown > 1.15 * hidden
