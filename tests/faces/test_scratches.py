"""Folds and scratches on faces are found, and filled; what is the person's is left."""

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from resemblance.core.faces import scratches
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.files.images import read_photo
from resemblance.core.loading import load_models
from resemblance.core.pipeline import LeftAlone, RestoreOptions, restore_photos
from torchvision.transforms.functional import to_tensor

EXAMPLES = Path(__file__).parents[2] / "nodes" / "examples"


@pytest.fixture(scope="module")
def models():
    return load_models(detector="built-in")


def folded(name, width=4, colour=(240, 236, 225), tilt=8):
    """An undamaged example with a fold across the face, and it without."""
    photo = read_photo(EXAMPLES / f"{name}_truth.jpg").pixels
    image = Image.open(EXAMPLES / f"{name}_truth.jpg").convert("RGB")
    row = image.height * 5 // 8
    ImageDraw.Draw(image).line([(0, row), (image.width, row + tilt)], fill=colour, width=width)
    return to_tensor(image), photo


def seen(photo, models):
    return crop_faces(photo[None], detect_faces(photo[None], models.detector))


@pytest.mark.parametrize("name", ["woman", "man"])
def test_a_fold_across_a_face_is_found_and_filled(models, name):
    photo, truth = folded(name)
    crops, clean = seen(photo, models), seen(truth, models)
    mended, places = scratches.mend_scratches(crops)
    line = ((crops.pixels - crop_faces(truth[None], crops.faces).pixels).abs().amax(1, keepdim=True) > 0.2) & (
        scratches.face_mask() > 0.9
    )
    assert float((places[line] > 0.5).float().mean()) > 0.8, "most of the fold is found"
    assert float((places > 0.5).float().mean()) < 0.08, "and little else"
    left = (mended.pixels - crop_faces(truth[None], crops.faces).pixels).abs()[line.expand_as(mended.pixels)].mean()
    assert (
        left
        < 0.5 * (crops.pixels - crop_faces(truth[None], crops.faces).pixels).abs()[line.expand_as(mended.pixels)].mean()
    )
    same, nothing = scratches.mend_scratches(clean)
    assert same is clean and not nothing.any()


def test_a_folded_face_is_restored_where_it_is_folded_though_it_is_sharp(models):
    photo, truth = folded("woman")
    detect = detect_faces(photo[None], models.detector)
    result = restore_photos(photo[None], models, detect)
    (report,) = result.faces
    assert report.restored and 0 < report.restored.mended < 0.2
    line = (photo - truth).abs().amax(0) > 0.3
    line[:, :180] = line[:, 460:] = False  # beside the face
    before, after = ((each - truth).abs().amax(0)[line].mean() for each in (photo, result.pixels[0]))
    assert after < 0.45 * before
    for options in (RestoreOptions(mend=False), RestoreOptions(blend=0.0)):
        (report,) = restore_photos(photo[None], models, detect, options).faces
        assert isinstance(report.outcome, LeftAlone)


@pytest.mark.parametrize("name", ["woman_truth", "man_truth", "two_people_truth", "woman_damaged", "man_damaged"])
def test_nothing_is_found_on_faces_without_damage_of_this_kind(models, name):
    photo = read_photo(EXAMPLES / f"{name}.jpg").pixels
    assert not scratches.mend_scratches(seen(photo, models))[1].any()


def cells(*rows):
    return torch.tensor([[letter != "." for letter in row] for row in rows])


def test_only_large_places_that_are_sure_count(monkeypatch):
    monkeypatch.setattr(scratches, "SURE_CELLS", 2)
    monkeypatch.setattr(scratches, "LONG", 4)
    monkeypatch.setattr(scratches, "BROAD", 9)
    possible = cells("##....###", "..#...###", "...#..###", "#........", "#..##....")
    sure = torch.zeros_like(possible)
    assert not scratches._large(possible, sure).any()
    kept = scratches._large(possible, possible)
    assert torch.equal(kept, cells("##....###", "..#...###", "...#..###", ".........", ".........")), "long or broad"
    sure[0, 6:8] = True
    assert torch.equal(scratches._large(possible, sure), cells("......###", "......###", "......###", *["." * 9] * 2))


def test_no_faces_have_no_scratches(models):
    crops = crop_faces(torch.rand(1, 3, 64, 64), [])
    same, places = scratches.mend_scratches(crops)
    assert same is crops and len(places) == 0
