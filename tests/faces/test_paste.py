import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.measure import noise_levels
from resemblance.core.faces.paste import PasteOptions
from resemblance.core.faces.paste import paste_faces as paste_with_options
from resemblance.core.geometry import TEMPLATE, fit_similarity, invert, scaling, template, transform, warp
from resemblance.core.records import Face
from torch.nn import functional as F

MATCHES = ("color_match", "sharpness_match", "grain_match", "scale")
PLAIN = {"color_match": 0.0, "sharpness_match": 0.0, "grain_match": 0.0}


def paste_faces(*args, **settings):
    """As the function, with the options one by one."""
    options = PasteOptions(**{name: settings.pop(name) for name in MATCHES if name in settings})
    return paste_with_options(*args, options=options, **settings)


def photo(height: int = 300, width: int = 400, seed: int = 0) -> torch.Tensor:
    small = torch.rand(1, 3, height // 20, width // 20, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(small, (height, width), mode="bicubic")[0].clamp(0, 1) * 0.5 + 0.25


def grain(like: torch.Tensor, seed: int = 5) -> torch.Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def face(scale: float = 0.3, x: float = 90, y: float = 60, turn: float = 0.1, image: int = 0, index: int = 0) -> Face:
    affine = torch.tensor([[scale, -scale * turn, x], [scale * turn, scale, y]], dtype=torch.float64)
    points = transform(affine, torch.tensor(TEMPLATE, dtype=torch.float64)).tolist()
    return Face(image, index, (x, y, x + 512 * scale, y + 512 * scale), 1.0, tuple((px, py) for px, py in points))


def test_outside_the_mask_every_bit_stays():
    image = photo()
    crops = crop_faces([image], [face()])
    given = image.clone()
    (out,), (mask,) = paste_faces([image], crops, torch.rand_like(crops.pixels))
    assert torch.equal(image, given)
    outside = mask[0] == 0
    assert 0.3 < float(outside.float().mean()) < 0.9
    assert torch.equal(out[:, outside], image[:, outside])
    assert not torch.equal(out, image)
    # And the mask is nowhere but in the face's own square.
    corners = transform(invert(crops.affines[0]), torch.tensor([[0.0, 0], [511, 0], [0, 511], [511, 511]]))
    (x0, y0), (x1, y1) = corners.amin(0).floor().int().tolist(), corners.amax(0).ceil().int().tolist()
    mask[:, y0 : y1 + 1, x0 : x1 + 1] = 0
    assert float(mask.max()) == 0


def test_strength():
    image = photo()
    crops = crop_faces([image], [face(index=0), face(x=220, index=1)])
    restored = torch.rand_like(crops.pixels)
    (none,), (mask,) = paste_faces([image], crops, restored, blend=0.0)
    assert torch.equal(none, image) and float(mask.max()) == 0
    (full,), (full_mask,) = paste_faces([image], crops, restored)
    (half,), (half_mask,) = paste_faces([image], crops, restored, blend=0.5)
    torch.testing.assert_close(half_mask, full_mask / 2)
    torch.testing.assert_close(half, (full + image) / 2, atol=1e-5, rtol=0)
    (first,), _ = paste_faces([image], crops, restored, blend=[1.0, 0.0])
    assert torch.equal(first[:, :, 300:], image[:, :, 300:]) and not torch.equal(first, image)
    with pytest.raises(ValueError, match="2 crops"):
        paste_faces([image], crops, restored, blend=[1.0])


def test_what_was_cropped_pastes_back_as_it_was():
    image = photo()
    crops = crop_faces([image], [face()])
    (out,), _ = paste_faces([image], crops, crops.pixels)
    assert float((out - image).abs().max()) < 0.01
    # Grain that survived is counted: with what is added it is as strong as the photograph's, not stronger.
    fine = image + 0.02 * grain(image)
    crops = crop_faces([fine], [face(scale=0.8, x=0, y=-60)])
    (out,), (mask,) = paste_faces([fine], crops, crops.pixels)
    assert float((out - image)[:, mask[0] == 1].std()) == pytest.approx(0.02, rel=0.25)


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_lands_where_opencv_puts_it(side):
    cv2 = pytest.importorskip("cv2")
    image = photo()
    crops = crop_faces([image], [face(scale=1.1, x=-60, y=-90)])
    restored = photo(side, side, seed=3)
    (out,), (mask,) = paste_faces([image], crops, restored[None], **PLAIN)
    # Edges of pixels scale: centres of the restored picture lie half a px in.
    from_restored = np.array([[512 / side, 0, (512 / side - 1) / 2], [0, 512 / side, (512 / side - 1) / 2], [0, 0, 1]])
    to_photo = cv2.invertAffineTransform(crops.affines[0].numpy()) @ from_restored
    flags = cv2.INTER_CUBIC
    expected = cv2.warpAffine(restored.permute(1, 2, 0).numpy(), to_photo, (400, 300), flags=flags)
    inside = mask[0] == 1
    assert int(inside.sum()) > 10000
    difference = (out - torch.from_numpy(expected).permute(2, 0, 1))[:, inside].abs()
    assert float(difference.max()) < 0.02


def test_counts_and_sizes_must_fit():
    image = photo()
    crops = crop_faces([image], [face()])
    with pytest.raises(ValueError, match="3 restored faces for 1 crops"):
        paste_faces([image], crops, torch.zeros(3, 3, 512, 512))
    with pytest.raises(ValueError, match="2 masks for 1 crops"):
        paste_faces([image], crops, crops.pixels, masks=torch.zeros(2, 1, 64, 64))
    with pytest.raises(ValueError, match=r"1 photographs .*\(300, 400\).* got 2 of \(300, 400\), \(300, 400\)"):
        paste_faces([image, image], crops, crops.pixels)
    with pytest.raises(ValueError, match=r"\(300, 400\).*\(300, 399\)"):
        paste_faces([image[:, :, :399]], crops, crops.pixels)
    with pytest.raises(ValueError, match=r"background of \(600, 700\)"):
        paste_faces([image], crops, crops.pixels, background=[torch.zeros(3, 600, 700)])


def test_values_that_are_no_numbers_are_not_pasted():
    image = photo()
    crops = crop_faces([image], [face(), face(index=1)])
    restored = crops.pixels.clone()
    restored[1, 0, 5, 5] = float("nan")
    with pytest.raises(ValueError, match="face 1 of photograph 0"):
        paste_faces([image], crops, restored)


def test_no_faces():
    image = photo()
    (out,), (mask,) = paste_faces([image], crop_faces([image], []), torch.zeros(0, 3, 512, 512))
    assert torch.equal(out, image) and mask.shape == (1, 300, 400) and float(mask.max()) == 0


def test_batches_and_lists():
    batch = torch.stack([photo(), photo(seed=1)])
    crops = crop_faces(batch, [face(image=1)])
    out, masks = paste_faces(batch, crops, torch.rand_like(crops.pixels))
    assert out.shape == batch.shape and masks.shape == (2, 1, 300, 400)
    assert torch.equal(out[0], batch[0]) and not torch.equal(out[1], batch[1])
    assert float(masks[0].max()) == 0 and float(masks[1].max()) == 1


def test_in_place_writes_into_what_was_given():
    image, given = photo(), photo()
    crops = crop_faces([image], [face()])
    restored = torch.rand_like(crops.pixels)
    (expected,), _ = paste_faces([image], crops, restored)
    (out,), _ = paste_faces([given], crops, restored, in_place=True)
    assert out is given and torch.equal(given, expected)


def test_a_constant_shift_of_colour_is_taken_away():
    image = photo()
    crops = crop_faces([image], [face()])
    shifted = crops.pixels + torch.tensor([0.15, -0.1, 0.05]).view(3, 1, 1)
    (kept,), (mask,) = paste_faces([image], crops, shifted, **PLAIN)
    (matched,), _ = paste_faces([image], crops, shifted)
    inside = mask[0] == 1
    assert float((kept - image)[:, inside].abs().mean()) == pytest.approx(0.1, abs=0.01)
    assert float((matched - image)[:, inside].abs().max()) < 0.01


def test_a_tint_that_varies_over_the_face_is_taken_away():
    image = photo()
    crops = crop_faces([image], [face()])
    tinted = crops.pixels + torch.linspace(-0.06, 0.06, 512).view(1, 1, 1, 512)
    (matched,), (mask,) = paste_faces([image], crops, tinted, sharpness_match=0, grain_match=0)
    assert float((matched - image)[:, mask[0] > 0.5].abs().mean()) < 0.01


def test_colour_match_keeps_what_was_restored():
    # The truth is sharp; the photograph is it, blurred. Matching the colours must not pull the truth back to the blur.
    truth = (photo() + 0.15 * torch.sin(torch.arange(400) / 2.0)).clamp(0, 1)
    cv2 = pytest.importorskip("cv2")
    blurred = cv2.GaussianBlur(truth.permute(1, 2, 0).numpy(), (0, 0), 4)
    blurred = torch.from_numpy(blurred).permute(2, 0, 1)
    crops, right = crop_faces([blurred], [face()]), crop_faces([truth], [face()])
    settings = {"sharpness_match": 0.0, "grain_match": 0.0}
    (plain,), (mask,) = paste_faces([blurred], crops, right.pixels, color_match=0, **settings)
    (matched,), _ = paste_faces([blurred], crops, right.pixels, **settings)
    assert float((matched - plain).abs().max()) < 0.02
    # A spot that the restorer removed does not tint its surroundings by more than a little.
    stained = blurred.clone()
    stained[:, 140:160, 150:170] = 0
    (matched,), _ = paste_faces([stained], crop_faces([stained], [face()]), right.pixels, **settings)
    assert float((matched - plain)[:, mask[0] == 1].abs().max()) < 0.04


@pytest.mark.parametrize("level", [0.01, 0.025])
@pytest.mark.parametrize("grey", [True, False])
def test_grain_is_matched(level, grey):
    clean = photo(600, 800)
    noise = grain(clean[:1]).expand(3, -1, -1) if grey else grain(clean)
    noisy = (clean + level * noise).clamp(0, 1)
    spot = face(scale=0.7, x=200, y=60)
    crops, restored = crop_faces([noisy], [spot]), crop_faces([clean], [spot]).pixels
    (out,), (mask,) = paste_faces([noisy], crops, restored)
    added = (out - clean)[:, mask[0] == 1]
    assert float(added.std()) == pytest.approx(level, rel=0.25)
    between = float(torch.corrcoef(added)[0, 1])
    assert between == pytest.approx(1.0 if grey else 0.0, abs=0.15)
    (bare,), _ = paste_faces([noisy], crops, restored, grain_match=0)
    assert float((bare - clean)[:, mask[0] == 1].std()) < level / 3
    # The same input gives the same grain.
    (again,), _ = paste_faces([noisy], crops, restored)
    assert torch.equal(again, out)


def test_grain_is_as_coarse_as_the_photographs():
    clean = photo(600, 800)
    noise = F.avg_pool2d(F.pad(grain(clean), (1, 1, 1, 1)), 3, 1) * 3
    noisy = (clean + 0.02 * noise).clamp(0, 1)
    spot = face(scale=0.7, x=200, y=60)
    crops, restored = crop_faces([noisy], [spot]), crop_faces([clean], [spot]).pixels
    (out,), (mask,) = paste_faces([noisy], crops, restored)
    added = (out - clean)[0, 200:320, 320:450]
    assert float(mask[0, 200:320, 320:450].min()) == 1
    neighbours = torch.corrcoef(torch.stack([added[:, 1:].flatten(), added[:, :-1].flatten()]))[0, 1]
    assert float(neighbours) == pytest.approx(2 / 3, abs=0.12)  # a box of three: two of three taps in common
    assert float(added.std()) == pytest.approx(0.02, rel=0.3)


def test_heavy_noise_is_given_back_in_part_only():
    clean = photo(600, 800)
    noisy = (clean + 0.1 * grain(clean)).clamp(0, 1)
    spot = face(scale=0.7, x=200, y=60)
    (out,), (mask,) = paste_faces([noisy], crop_faces([noisy], [spot]), crop_faces([clean], [spot]).pixels)
    assert 0.02 < float((out - clean)[:, mask[0] == 1].std()) < 0.045


def sharp_and_soft(blur: float) -> tuple[torch.Tensor, torch.Tensor]:
    cv2 = pytest.importorskip("cv2")
    y, x = torch.meshgrid(torch.arange(600.0), torch.arange(800.0), indexing="ij")
    checks = ((torch.floor((x + 0.3 * y) / 23) + torch.floor((y - 0.3 * x) / 23)) % 2 * 0.4 + 0.3).expand(3, -1, -1)
    sharp = cv2.GaussianBlur(checks.permute(1, 2, 0).numpy(), (0, 0), 0.5)
    soft = cv2.GaussianBlur(sharp, (0, 0), blur)
    return torch.from_numpy(sharp).permute(2, 0, 1), torch.from_numpy(soft).permute(2, 0, 1)


def steepest(picture: torch.Tensor, mask: torch.Tensor) -> float:
    return float((picture.diff(dim=2).abs() * (mask[:, :, 1:] == 1)).max())


def test_softness_is_matched_within_a_limit():
    spot = face(scale=0.7, x=200, y=60)
    steps = []
    for blur in (0.01, 3.0):
        sharp, soft = sharp_and_soft(max(blur, 0.01))
        crops, restored = crop_faces([soft], [spot]), crop_faces([sharp], [spot]).pixels
        (plain,), (mask,) = paste_faces([soft], crops, restored, **PLAIN)
        (matched,), _ = paste_faces([soft], crops, restored, color_match=0, grain_match=0)
        steps.append(steepest(matched, mask) / steepest(plain, mask))
    # In a sharp photograph nothing is lost. In a soft one a step of 0.5 px blur gets 1 px: half as steep, no less.
    assert steps[0] > 0.99
    assert 0.4 < steps[1] < 0.8


def test_overlapping_faces_do_not_depend_on_their_order():
    image = photo()
    faces = [face(index=0), face(x=130, index=1), face(x=110, y=90, index=2)]
    crops = crop_faces([image], faces)
    restored = torch.rand_like(crops.pixels)
    (out,), (mask,) = paste_faces([image], crops, restored)
    tensors = {name: getattr(crops, name).flip(0) for name in ("pixels", "masks", "affines")}
    other = replace(crops, **tensors, faces=crops.faces[::-1])
    (turned,), (turned_mask,) = paste_faces([image], other, restored.flip(0))
    torch.testing.assert_close(turned, out, atol=1e-5, rtol=0)
    assert torch.equal(turned_mask, mask)
    assert torch.equal(out[:, mask[0] == 0], image[:, mask[0] == 0])


def test_overlap_is_the_mean_weighted_by_the_masks():
    image = torch.full((3, 300, 400), 0.5)
    crops = crop_faces([image], [face(index=0), face(x=150, index=1)])
    restored = torch.stack([torch.full((3, 512, 512), v) for v in (0.0, 1.0)])
    (out,), (mask,) = paste_faces([image], crops, restored, **PLAIN)
    one, two = (warp(crops.masks[n], invert(crops.affines[n]), (300, 400), "zeros")[0].clamp(0, 1) for n in (0, 1))
    both = torch.maximum(one, two)
    expected = 0.5 + both * (two / (one + two).clamp_min(1e-9) - 0.5)
    torch.testing.assert_close(mask[0], both, atol=1e-3, rtol=0)
    assert float((out[0] - expected).abs().max()) < 5e-3
    assert int(((one > 0.5) & (two > 0.5)).sum()) > 1000


def test_a_face_cut_by_the_border_reaches_it():
    image = photo()
    crops = crop_faces([image], [face(x=-77, y=60, turn=0.0)])
    (out,), (mask,) = paste_faces([image], crops, torch.rand_like(crops.pixels))
    assert float(mask[0, 140, 0]) > 0.99  # nothing of the damaged photograph is left along the edge
    assert torch.equal(out[:, mask[0] == 0], image[:, mask[0] == 0])
    gone = crop_faces([image], [face(x=-900)])
    (out,), (mask,) = paste_faces([image], gone, gone.pixels)
    assert torch.equal(out, image) and float(mask.max()) == 0


def test_masks_given_by_hand():
    image = photo()
    crops = crop_faces([image], [face()])
    hand = torch.zeros(1, 1, 128, 128)
    hand[..., 64:, :] = 1  # the lower half, at another size than the crop's
    (out,), (mask,) = paste_faces([image], crops, torch.rand_like(crops.pixels), masks=hand)
    points = transform(invert(crops.affines[0]), torch.tensor([[256.0, 200.0], [256.0, 400.0]]))
    centre, chin = points.round().int().tolist()
    assert float(mask[0, centre[1], centre[0]]) == 0 and float(mask[0, chin[1], chin[0]]) == 1
    allowed = torch.zeros(1, 300, 400)
    allowed[:, :, :150] = 1
    (out,), (mask,) = paste_faces([image], crops, torch.rand_like(crops.pixels), photo_masks=[allowed])
    assert torch.equal(out[:, :, 150:], image[:, :, 150:]) and float(mask[:, :, :150].max()) == 1


def test_small_faces_are_filtered():
    # 512 px of stripes pasted 40 px wide: grey, not a moiré.
    image = torch.full((3, 300, 400), 0.5)
    crops = crop_faces([image], [face(scale=40 / 512, turn=0.2)])
    stripes = (0.5 + 0.5 * torch.sin(torch.arange(512) * 2 * math.pi / 7)).expand(1, 3, 512, 512)
    (out,), (mask,) = paste_faces([image], crops, stripes, **PLAIN)
    assert float((out - 0.5).abs().max()) < 0.05 and float(mask.max()) == 1


@pytest.mark.parametrize("scale", [2.0, 1.5])
def test_larger_results(scale):
    image = photo(301, 403)
    crops = crop_faces([image], [face()])
    restored = photo(512, 512, seed=3)[None]
    (out,), (mask,) = paste_faces([image], crops, restored, scale=scale, **PLAIN)
    height, width = round(301 * scale), round(403 * scale)
    assert out.shape == (3, height, width) and mask.shape == (1, height, width)
    # The face lies where a larger photograph would have had it: fit the template to the landmarks, scaled by hand.
    points = (torch.tensor(crops.faces[0].landmarks) + 0.5) * torch.tensor([width / 403, height / 301]) - 0.5
    expected = warp(restored[0], fit_similarity(template(), points), (height, width))
    inside = mask[0] == 1
    assert float((out - expected)[:, inside].abs().max()) < 0.01
    resized = F.interpolate(image[None], (height, width), mode="bicubic")[0].clamp(0, 1)
    assert torch.equal(out[:, mask[0] == 0], resized[:, mask[0] == 0])


def test_grain_of_larger_results_is_enlarged_too():
    clean = photo(600, 800)
    noisy = (clean + 0.02 * grain(clean)).clamp(0, 1)
    spot = face(scale=0.7, x=200, y=60)
    crops, restored = crop_faces([noisy], [spot]), crop_faces([clean], [spot]).pixels
    (out,), (mask,) = paste_faces([noisy], crops, restored, scale=2.0)
    (bare,), _ = paste_faces([noisy], crops, restored, scale=2.0, grain_match=0)
    large = F.interpolate(torch.stack([noisy, clean]), scale_factor=2, mode="bicubic")
    expected, added = (large[0] - large[1])[0, 400:640, 640:900], (out - bare)[0, 400:640, 640:900]
    assert float(mask[0, 400:640, 640:900].min()) == 1
    assert float(added.std()) == pytest.approx(float(expected.std()), rel=0.3)
    pairs = [torch.stack([n[:, 2:].flatten(), n[:, :-2].flatten()]) for n in (expected, added)]
    theirs, ours = (float(torch.corrcoef(pair)[0, 1]) for pair in pairs)
    assert ours == pytest.approx(theirs, abs=0.1)


def test_a_background_sets_the_scale():
    image, background = photo(), torch.rand(3, 1200, 1600)
    crops = crop_faces([image], [face()])
    given = background.clone()
    (out,), (mask,) = paste_faces([image], crops, crops.pixels, background=[background])
    assert out.shape == background.shape and torch.equal(background, given)
    assert torch.equal(out[:, mask[0] == 0], background[:, mask[0] == 0])
    at = transform(scaling(4.0), torch.tensor(crops.faces[0].landmarks)).round().int().tolist()
    assert all(float(mask[0, y, x]) == 1 for x, y in at)


def test_only_the_faces_rectangle_is_read():
    image = photo(900, 1200)
    image[:, :100] = float("nan")
    image[:, 500:] = float("nan")
    crops = crop_faces([image], [face(x=300, y=200)])
    (out,), (mask,) = paste_faces([image], crops, crops.pixels)
    assert bool(out[:, 200:300].isfinite().all()) and float(mask.max()) == 1


def test_margin_and_restored_of_another_size():
    image = photo()
    crops = crop_faces([image], [face()], size=768, margin=0.25)
    (out,), (mask,) = paste_faces([image], crops, F.interpolate(crops.pixels, (1536, 1536), mode="bicubic"))
    assert float((out - image).abs().max()) < 0.01 and float(mask.max()) == 1
    assert float(noise_levels(out).max()) < 0.005


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.4, 1.0, 1.5])
def test_photographs_of_half_precision(dtype, scale):
    image = photo()[None]
    crops = crop_faces(image, [face()])
    expected, _ = paste_faces(image, crops, crops.pixels, scale=scale)
    out, mask = paste_faces(image.to(dtype), crop_faces(image.to(dtype), [face()]), crops.pixels, scale=scale)
    assert out.dtype == dtype and mask.shape == (1, 1, *out.shape[2:]) and out.shape == expected.shape
    assert float((out.float() - expected).abs().max()) < 0.03


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_batch_without_photographs(scale):
    image = torch.zeros(0, 3, 40, 60)
    out, mask = paste_faces(image, crop_faces(image, []), torch.zeros(0, 3, 512, 512), scale=scale)
    assert out.shape == (0, 3, 40 * scale, 60 * scale) and mask.shape == (0, 1, 40 * scale, 60 * scale)


def test_in_place_needs_memory_of_its_own():
    image = photo()
    crops = crop_faces([image, image], [face()])
    same = {"two of a list": [image, image], "a batch": image.expand(2, -1, -1, -1)}
    same["grey"] = [image[:1].expand(3, -1, -1), image]
    for pictures in same.values():
        given = [picture.clone() for picture in pictures]
        with pytest.raises(ValueError, match=r"share their memory.*Give clones, or leave in_place out"):
            paste_faces(pictures, crops, torch.rand_like(crops.pixels), in_place=True)
        assert all(torch.equal(old, new) for old, new in zip(given, pictures, strict=True))
        paste_faces(pictures, crops, torch.rand_like(crops.pixels))
    halves = torch.stack([image, image])
    paste_faces(halves, crops, torch.rand_like(crops.pixels), in_place=True)
    assert not torch.equal(halves[0], image)
