import pytest
import torch
from by_hand import found


def test_without_faces_everything_passes_through(run, codeformer, photos):
    crops, image, mask = run("CropFaces", faces=found(photos, []), image=photos, size=256).args
    assert len(crops) == 0 and image.shape == (1, 256, 256, 3) and mask.shape == (1, 256, 256)
    assert image.unique().tolist() == [0.5] and not mask.any()
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer, image=image)[0]
    tokens, invented = run("RestoreTokens", tokens=tokens).args
    decoded = run("DecodeTokens", tokens=tokens)[0]
    restored = run("RestoreCrops", crops=crops, restorer=codeformer, image=image)[0]
    assert invented.shape == (1, 256, 256) and decoded.shape == restored.shape == (1, 256, 256, 3)
    for tile in (image, decoded, restored, torch.rand(1, 96, 64, 3)):
        pasted, applied = run("PasteFaces", image=photos, crops=crops, restored=tile, crop_masks=mask).args
        assert torch.equal(pasted, photos) and applied.shape == (2, 240, 400) and not applied.any()


@pytest.mark.parametrize("kind", ["float16", "alpha", "view"])
def test_images_come_in_many_forms_and_are_never_changed(run, codeformer, photos, kind):
    image = {
        "float16": photos.half(),
        "alpha": torch.cat([photos, photos[..., :1]], -1),
        "view": photos.movedim(-1, 1).contiguous().movedim(1, -1),
    }[kind]
    before = image.clone()
    faces = found(photos, [(0, 0), (1, 90)])
    crops, tiles, mask = run("CropFaces", faces=faces, image=image).args
    assert tiles.dtype == mask.dtype == torch.float32 and tiles.is_contiguous()
    kept = crops.pixels.clone(), crops.masks.clone(), tiles.clone()
    restored = run("RestoreCrops", crops=crops, restorer=codeformer, image=tiles.to(image.dtype))[0]
    result, _ = run("PasteFaces", image=image, crops=crops, restored=restored.to(image.dtype)).args
    assert result.dtype == torch.float32 and result.shape == image.shape
    assert torch.equal(image, before)
    assert all(torch.equal(a, b) for a, b in zip(kept, (crops.pixels, crops.masks, tiles), strict=True))


def test_masked_damage_is_filled_before_faces_are_cut_out_or_restored(run, codeformer, photos):
    faces = found(photos, [(0, 0)])
    mask = torch.zeros(photos.shape[:3])
    mask[:, 118:122] = 1
    folded = torch.where(mask[..., None] > 0, 1.0, photos)
    clean, shown, filled = (
        run("CropFaces", faces=faces, image=image, damage_mask=given)[1]
        for image, given in ((photos, None), (folded, None), (folded, mask[:1]))
    )
    assert (filled - clean).abs().mean() < 0.3 * (shown - clean).abs().mean()
    crops = run("CropFaces", faces=faces, image=folded)[0]
    torn = run("CropFaces", faces=faces, image=mask[..., None].expand(-1, -1, -1, 3))[1][..., 0].clamp(0, 1)
    for name, last in (
        ("RestoreCrops", lambda done: done[0]),
        ("EncodeTokens", lambda done: run("DecodeTokens", tokens=done[0])[0]),
    ):
        plain, told = (last(run(name, crops=crops, restorer=codeformer, damage_mask=m)) for m in (None, torn))
        wanted = last(run(name, crops=run("CropFaces", faces=faces, image=photos)[0], restorer=codeformer))
        assert (told - wanted).abs().mean() < (plain - wanted).abs().mean(), name
    with pytest.raises(ValueError, match="same size"):
        run("CropFaces", faces=faces, image=folded, damage_mask=mask[:, 1:])
