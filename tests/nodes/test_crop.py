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
