import pytest
import torch
from by_hand import found


def test_a_sampler_may_stand_between_crop_and_paste(run, photos):
    faces = found(photos, [(0, 0), (0, 200)])
    crops, image, _ = run("CropFaces", faces=faces, image=photos, margin=0.25).args
    larger = torch.nn.functional.interpolate(image.movedim(-1, 1), scale_factor=1.5).movedim(1, -1)
    result, applied = run("PasteFaces", image=photos, crops=crops, restored=1 - larger, color_match=0.0).args
    inside = applied[0] > 0.99
    assert inside.sum() > 1000 and (result[0][inside] + photos[0][inside] - 1).abs().mean() < 0.03
    assert torch.equal(result[1], photos[1])


def test_strength_0_is_bit_exact_and_alpha_is_kept(run, photos):
    wild = torch.cat([photos * 1.5 - 0.1, torch.rand(2, 240, 400, 1)], -1)  # beyond [0,1], with alpha
    crops, image, _ = run("CropFaces", faces=found(photos, [(0, 0), (1, 0)]), image=wild).args
    assert image.shape == (2, 512, 512, 3)
    result, applied = run("PasteFaces", image=wild, crops=crops, restored=1 - image, strength=0.0).args
    assert torch.equal(result, wild) and not applied.any()
    result, applied = run("PasteFaces", image=wild, crops=crops, restored=1 - image).args
    assert torch.equal(result[..., 3], wild[..., 3]) and torch.equal(result[applied == 0], wild[applied == 0])


def test_masks_limit_what_is_pasted(run, photos):
    crops, image, mask = run("CropFaces", faces=found(photos, [(0, 0), (1, 0)]), image=photos).args
    given = {"image": photos, "crops": crops, "restored": 1 - image}
    whole = run("PasteFaces", **given)[1]
    half = torch.zeros(1, 240, 400)
    half[:, :, :96] = 1  # one mask serves all photographs
    applied = run("PasteFaces", **given, photo_mask=half)[1]
    assert not applied[:, :, 98:].any() and torch.allclose(applied[:, :, :94], whole[:, :, :94], atol=1e-5)
    for empty in (torch.zeros(1, 64, 64), torch.zeros(64, 64)):  # LoadImage's
        assert torch.equal(run("PasteFaces", **given, photo_mask=empty, crop_masks=empty)[1], whole)
    edited = torch.nn.functional.interpolate(mask[:, None] * torch.tensor([1.0, 0.0])[:, None, None, None], 256)[:, 0]
    applied = run("PasteFaces", **given, crop_masks=edited)[1]
    assert applied[0].max() > 0.9 and not applied[1].any()


def test_an_upscaled_background_sets_the_size(run, photos):
    crops, image, _ = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos).args
    larger = torch.nn.functional.interpolate(photos.movedim(-1, 1), scale_factor=2).movedim(1, -1)
    result, applied = run("PasteFaces", image=photos, crops=crops, restored=1 - image, background=larger).args
    assert result.shape == larger.shape and applied.shape == (2, 480, 800)
    assert torch.equal(result[applied == 0], larger[applied == 0]) and applied[0].max() > 0.9


def test_masks_of_the_photograph_are_no_masks_of_crops(run, photos):
    crops, tiles, _ = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos).args
    with pytest.raises(ValueError, match="crop_masks are 400x240, as large as the photograph"):
        run("PasteFaces", image=photos, crops=crops, restored=tiles, crop_masks=torch.ones(1, 240, 400))


def test_restored_faces_are_asked_for_where_there_are_any(run, nodes, photos):
    node = nodes["ResemblancePasteFaces"]
    some = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0]
    none = run("CropFaces", faces=found(photos, []), image=photos)[0]
    assert node.check_lazy_status(crops=some, restored=None, image=photos) == ["restored"]
    assert node.check_lazy_status(crops=some, restored=photos) == [] == node.check_lazy_status(crops=none)
    result, mask = run("PasteFaces", image=photos, crops=none, restored=None).args
    assert torch.equal(result, photos) and not mask.any()
