"""What a mask calls damage is filled from around it, and is restored whatever the damage elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from resemblance.core.faces import mending
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.files.images import read_photo
from resemblance.core.loading import Models, load_models
from resemblance.core.pipeline import LeftAlone, RestoreOptions, restore_photos
from torch import Tensor

EXAMPLES = Path(__file__).parents[2] / "nodes" / "examples"


def plane(height: int = 61, width: int = 90) -> Tensor:
    """A picture that grows brighter from left to right."""
    return torch.linspace(0.2, 0.8, width).expand(3, height, width).clone()


@pytest.mark.parametrize("size", [(61, 90), (64, 64), (15, 200)])
def test_a_scratch_in_a_smooth_place_leaves_no_trace(size: tuple[int, int]) -> None:
    clean = plane(*size)
    mask = torch.zeros(1, *size)
    mask[:, size[0] // 2, 5:-5] = 1
    scratched = torch.where(mask > 0, 1.0, clean)
    (result,) = mending.mended([scratched], [mask])
    assert (result - clean).abs().max() < 0.02
    far = mending.widened(mask)[0] == 0
    assert torch.equal(result[:, far], scratched[:, far])


def test_a_wide_hole_takes_the_colours_around_it() -> None:
    clean = plane()
    mask = torch.zeros(1, 61, 90)
    mask[:, 10:50, 20:60] = 1
    (result,) = mending.mended([torch.where(mask > 0, 0.0, clean)], [mask])
    assert (result - clean).abs().max() < 0.15


def test_everything_masked_or_nothing() -> None:
    clean = plane()
    assert mending.mended([clean], [torch.zeros(1, 61, 90)])[0] is clean
    (all_masked,) = mending.mended([clean], [torch.ones(1, 61, 90)])
    assert bool(all_masked.isfinite().all())


@pytest.mark.parametrize("mask", [torch.zeros(1, 61, 89), torch.zeros(61, 90), torch.zeros(3, 61, 90)])
def test_masks_of_other_shapes_are_refused(mask: Tensor) -> None:
    with pytest.raises(ValueError, match="expected one of the same size for each"):
        mending.mended([plane()], [mask])


def test_masks_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="outside 0 to 1"):
        mending.check_damage([torch.full((1, 61, 90), 255.0)], [plane()])


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(detector="built-in")


@pytest.fixture(scope="module")
def torn() -> tuple[Tensor, Tensor, Tensor]:
    """A sharp photograph, the same with a fold and a scratch across the face, and where they are."""
    clean = read_photo(EXAMPLES / "man_truth.jpg").pixels
    mask = torch.zeros(1, *clean.shape[1:])
    middle = [n // 2 for n in clean.shape[1:]]
    mask[:, middle[0] - 2 : middle[0] + 3] = 1
    mask[:, :, middle[1] + 40 : middle[1] + 43] = 1
    return clean, torch.where(mask > 0, 0.93, clean), mask


def test_masked_damage_is_mended_where_the_face_is_sharp(models: Models, torn: tuple[Tensor, Tensor, Tensor]) -> None:
    clean, damaged, mask = torn
    assert models.detector
    faces = detect_faces([clean], models.detector)
    plain = RestoreOptions(mend=False)
    blind, told = (restore_photos(damaged[None], models, faces, plain, damage=given) for given in (None, mask[None]))
    on_face = (told.masks[0] > 0.5) & (mask > 0)
    assert on_face.sum() > 500
    errors = [(x.pixels[0] - clean).abs()[:, on_face[0]].mean() for x in (blind, told)]
    assert errors[1] < 0.2 * errors[0]
    # Elsewhere the sharp face stays as it is.
    away = mending.widened(mask)[0] == 0
    assert (told.pixels[0] - damaged).abs()[:, away].max() < 0.01
    (report,) = told.faces
    assert report.restored is not None


def test_a_blend_of_0_changes_nothing_whatever_the_mask(models: Models, torn: tuple[Tensor, Tensor, Tensor]) -> None:
    clean, damaged, mask = torn
    assert models.detector
    faces = detect_faces([clean], models.detector)
    result = restore_photos(damaged[None], models, faces, RestoreOptions(blend=0.0), damage=mask[None])
    assert torch.equal(result.pixels[0], damaged) and not result.masks.any()
    assert result.faces[0].outcome == LeftAlone("strength is 0")


def test_a_mask_beside_the_faces_changes_little(models: Models, torn: tuple[Tensor, Tensor, Tensor]) -> None:
    clean, _, mask = torn
    assert models.detector
    faces = detect_faces([clean], models.detector)
    corner = torch.zeros_like(mask)
    corner[:, :6, :6] = 1
    options = RestoreOptions(blend=0.7)
    one, other = (restore_photos(clean[None], models, faces, options, damage=d) for d in (None, corner[None]))
    # The restorer sees the corner, too.
    torch.testing.assert_close(one.pixels, other.pixels, rtol=0, atol=1 / 255)  # where a CPU has bfloat16 it is used
    assert torch.equal(one.pixels[0, :, :6, :6], other.pixels[0, :, :6, :6])


def test_crops_of_a_mended_photograph_show_no_damage(models: Models, torn: tuple[Tensor, Tensor, Tensor]) -> None:
    clean, damaged, mask = torn
    assert models.detector
    faces = detect_faces([clean], models.detector)
    crops = [crop_faces(x, faces).pixels for x in ([clean], [damaged], mending.mended([damaged], [mask]))]
    assert (crops[2] - crops[0]).abs().mean() < 0.1 * (crops[1] - crops[0]).abs().mean()
