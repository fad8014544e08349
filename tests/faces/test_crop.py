import math
from dataclasses import replace

import pytest
import torch
from resemblance.core.faces.crop import crop_faces, face_mask, into_crops, template_masks, template_view, with_pixels
from resemblance.core.geometry import TEMPLATE, invert, scaling, template, transform
from resemblance.core.records import Face


def photo(height: int = 300, width: int = 400, seed: int = 0) -> torch.Tensor:
    small = torch.rand(1, 3, height // 20, width // 20, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0].clamp(0, 1)


def face(scale: float = 0.25, x: float = 100, y: float = 60, turn: float = 0.1, image: int = 0, index: int = 0) -> Face:
    affine = torch.tensor([[scale, -scale * turn, x], [scale * turn, scale, y]], dtype=torch.float64)
    points = transform(affine, torch.tensor(TEMPLATE, dtype=torch.float64)).tolist()
    return Face(image, index, (x, y, x + 512 * scale, y + 512 * scale), 1.0, tuple((px, py) for px, py in points))


def test_landmarks_land_on_the_template():
    crops = crop_faces([photo()], [face()], size=256, margin=0.25)
    landed = transform(crops.affines[0], torch.tensor(crops.faces[0].landmarks, dtype=torch.float64))
    torch.testing.assert_close(landed, template(256, 0.25), atol=1e-6, rtol=0)
    assert crops.pixels.shape == (1, 3, 256, 256) and crops.masks.shape == (1, 1, 256, 256)
    assert crops.photos == ((300, 400),) and crops.size == 256


def test_pixels_are_the_photographs():
    # A ramp: the crop's value at a point tells where in the photograph it was taken.
    y, x = torch.meshgrid(torch.arange(300.0), torch.arange(400.0), indexing="ij")
    ramp = torch.stack([x / 400, y / 300, torch.zeros_like(x)])
    crops = crop_faces([ramp], [face()])
    at = torch.tensor([[100.0, 150.0], [400.0, 300.0]])
    expected = transform(invert(crops.affines[0]), at)
    got = torch.stack([crops.pixels[0, :2, int(v), int(u)] for u, v in at.tolist()]) * torch.tensor([400, 300])
    torch.testing.assert_close(got.double(), expected, atol=0.06, rtol=0)  # bicubic bends a ramp a little


def test_order_is_by_photograph_then_index():
    faces = [face(image=1, index=0), face(image=0, index=1), face(image=0, index=0)]
    crops = crop_faces([photo(), photo(200, 500, seed=1)], faces)
    assert [(f.image, f.index) for f in crops.faces] == [(0, 0), (0, 1), (1, 0)]
    assert crops.photos == ((300, 400), (200, 500))
    assert torch.equal(crops.pixels[0], crops.pixels[1]) and not torch.equal(crops.pixels[0], crops.pixels[2])


def test_a_batch_gives_what_a_list_gives():
    batch = torch.stack([photo(), photo(seed=1)])
    faces = [face(image=0), face(image=1)]
    assert torch.equal(crop_faces(batch, faces).pixels, crop_faces(list(batch), faces).pixels)


def test_no_faces():
    crops = crop_faces([photo()], [], size=256)
    assert len(crops) == 0 and crops.pixels.shape == (0, 3, 256, 256) and crops.masks.shape == (0, 1, 256, 256)
    assert template_view(crops).shape == (0, 3, 512, 512)
    assert into_crops(crops, torch.zeros(0, 3, 512, 512)).shape == (0, 3, 256, 256)


def test_half_outside():
    white = torch.ones(3, 300, 400)
    crops = crop_faces([white], [face(x=-64, turn=0.0)])  # the left half of the template lies at negative x
    torch.testing.assert_close(crops.pixels, torch.ones_like(crops.pixels))  # the border repeats
    mask = crops.masks[0, 0]
    # The photograph's edge is at crop x = 64 / 0.25 = 256; up to 2 px of the photograph (8 of the crop) may be added.
    assert float(mask[:, :245].max()) == 0
    assert torch.equal(mask[:, 258:], face_mask()[0, :, 258:])


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (((float("nan"), 0.0),) * 5, "finite"),
        (((5.0, 5.0),) * 5, "like a face"),
        (TEMPLATE[:4], "five"),
        ((TEMPLATE[1], TEMPLATE[0], TEMPLATE[2], TEMPLATE[4], TEMPLATE[3]), "like a face"),
    ],
)
def test_landmarks_that_are_no_face(landmarks, message):
    bad = replace(face(index=7), landmarks=landmarks)
    with pytest.raises(ValueError, match="Face 8 of photograph 0") as error:
        crop_faces([photo()], [bad])
    assert message in str(error.value)


def test_a_profile_is_a_face():
    flat = tuple((300 + 0.1 * (x - 256), y) for x, y in TEMPLATE)
    assert len(crop_faces([photo()], [replace(face(), landmarks=flat)])) == 1


def test_photographs_of_a_wrong_shape_or_missing():
    with pytest.raises(ValueError, match=r"\(4, 30, 30\)"):
        crop_faces([torch.zeros(4, 30, 30)], [])
    with pytest.raises(ValueError, match="uint8"):
        crop_faces([torch.zeros(3, 30, 30, dtype=torch.uint8)], [])
    with pytest.raises(ValueError, match="photograph 3 was cropped from 1"):
        crop_faces([photo()], [face(image=3)])


@pytest.mark.parametrize(("size", "margin"), [(512, 0.0), (256, 0.0), (640, 0.3)])
def test_mask_covers_the_face_and_fades_to_nothing(size, margin):
    mask = face_mask(size, margin)[0]
    for x, y in template(size, margin).round().int().tolist():
        assert float(mask[y, x]) == 1
    edge = round(size * margin / (1 + 2 * margin))
    inner = torch.zeros_like(mask)
    inner[edge : size - edge, edge : size - edge] = 1
    assert float((mask * (1 - inner)).max()) == 0
    assert max(float(line.max()) for line in (mask[edge], mask[-edge - 1], mask[:, edge], mask[:, -edge - 1])) == 0
    # Soft: it takes 20 template px or more from 0 to 1 (a straight ramp that long would rise by 1/20 a px).
    template_px = size / (512 * (1 + 2 * margin))
    assert float(mask.diff(dim=0).abs().max()) < 1 / 20 / template_px


def test_template_of_a_plain_crop_is_the_crop():
    crops = crop_faces([photo()], [face()])
    assert template_view(crops) is crops.pixels
    restored = torch.rand(1, 3, 512, 512)
    assert torch.equal(into_crops(crops, restored), restored)


def test_template_out_of_a_margin_is_the_plain_crop():
    plain, wide = crop_faces([photo()], [face()]), crop_faces([photo()], [face()], size=1024, margin=0.5)
    assert float((template_view(wide) - plain.pixels).abs().max()) < 1e-4
    larger = crop_faces([photo()], [face()], size=900, margin=0.1)
    assert float((template_view(larger) - plain.pixels).abs().max()) < 0.01
    assert float((template_masks(larger) - plain.masks).abs().max()) < 0.02


def test_restored_templates_go_back_with_the_margin_untouched():
    crops = crop_faces([photo()], [face()], size=1024, margin=0.5)
    back = into_crops(crops, torch.ones(1, 3, 512, 512))
    inside = torch.zeros(1024, 1024, dtype=torch.bool)
    inside[256:768, 256:768] = True
    assert torch.equal(back[..., ~inside], crops.pixels[..., ~inside])
    seam = 21  # 4% of 512 px
    assert float(back[..., 256 + seam : 768 - seam, 256 + seam : 768 - seam].min()) == 1
    # Back and forth changes nothing but the seam.
    again = template_view(replace(crops, pixels=back))
    assert float(again[..., seam:-seam, seam:-seam].min()) == 1
    # Without a margin there is nothing to blend with.
    small = crop_faces([photo()], [face()], size=256)
    torch.testing.assert_close(into_crops(small, torch.ones(1, 3, 512, 512)), torch.ones(1, 3, 256, 256))


def test_wrong_number_of_templates():
    with pytest.raises(ValueError, match=r"\(2, 3, 512, 512\).*\(1, 3, 512, 512\)"):
        into_crops(crop_faces([photo()], [face()]), torch.zeros(2, 3, 512, 512))


def test_resizing_a_photograph_moves_its_crop_along():
    image = photo()
    double = torch.nn.functional.interpolate(image[None], scale_factor=2, mode="bicubic")[0]
    moved = transform(scaling(2.0), torch.tensor(face().landmarks)).tolist()
    ours = crop_faces([double], [replace(face(), landmarks=tuple((x, y) for x, y in moved))])
    assert float((ours.pixels - crop_faces([image], [face()]).pixels).abs().max()) < 0.02


def test_other_pixels_take_the_crops_place():
    crops = crop_faces([photo()], [face()], 256)
    given = torch.linspace(0, 1, 128).expand(1, 3, 128, 128)
    replaced = with_pixels(crops, given)
    assert replaced.pixels.shape == (1, 3, 256, 256) and replaced.faces == crops.faces
    # Twice the size: the ramp runs through, at half the slope (edges of pixels coincide).
    expected = (torch.arange(100, 150) - 0.5) / 2 / 127
    torch.testing.assert_close(replaced.pixels[0, 0, 0, 100:150], expected, atol=1e-4, rtol=0)
    same = torch.rand(1, 3, 256, 256)
    assert with_pixels(crops, same).pixels is same
    for wrong in (torch.rand(2, 3, 256, 256), torch.rand(1, 3, 256, 200), torch.rand(1, 1, 256, 256)):
        with pytest.raises(ValueError, match="for 1 crops; expected one square RGB picture for each"):
            with_pixels(crops, wrong)


@pytest.mark.parametrize("margin", [math.nan, math.inf, -0.1])
def test_margins_that_are_none(margin):
    with pytest.raises(ValueError, match=r"margin=.*; expected at least 1 px and 0"):
        crop_faces([torch.zeros(3, 9, 9)], [], 64, margin)


@pytest.mark.parametrize(
    "landmarks", [(), ((1.0, 2.0),) * 4, ((1.0,), (1.0, 2.0)), (("a", "b"),) * 5, None, ((math.nan, 0.0),) * 5]
)
def test_landmarks_that_are_none(landmarks):
    face = Face(0, 0, (0.0, 0.0, 9.0, 9.0), 1.0, landmarks)
    with pytest.raises(ValueError, match="expected five finite points"):
        crop_faces([torch.zeros(3, 9, 9)], [face])


def test_photographs_without_a_pixel():
    with pytest.raises(ValueError, match=r"shape \(3, 0, 9\).*expected \(3, height, width\)"):
        crop_faces([torch.zeros(3, 0, 9)], [])
