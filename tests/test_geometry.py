import math

import numpy as np
import pytest
import torch
from resemblance.core.geometry import (
    TEMPLATE,
    compose,
    fit_similarity,
    invert,
    scale_of,
    scaling,
    template,
    to_template,
    transform,
    warp,
)

cv2 = pytest.importorskip("cv2")


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed))


def similarity(scale: float, degrees: float, x: float, y: float) -> torch.Tensor:
    c, s = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return torch.tensor([[c, -s, x], [s, c, y]], dtype=torch.float64)


def to_cv(image: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def from_cv(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def test_fit_agrees_with_opencv():
    points = transform(similarity(0.3, 17, 40, -25), torch.tensor(TEMPLATE))
    expected, _ = cv2.estimateAffinePartial2D(points.numpy(), np.array(TEMPLATE), method=cv2.LMEDS)
    np.testing.assert_allclose(fit_similarity(points, torch.tensor(TEMPLATE)).numpy(), expected, atol=1e-4)


def test_fit_to_scattered_points_is_the_least_squares_solution():
    target = torch.tensor(TEMPLATE, dtype=torch.float64)
    source = target + torch.tensor([[3.0, -8], [-6, 2], [9, 9], [1, -4], [-7, 5]], dtype=torch.float64)
    # x' = a x - b y + c, y' = b x + a y + d, solved as any linear least-squares problem.
    x, y = source.numpy().T
    one, zero = np.ones(5), np.zeros(5)
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, c, d = np.linalg.lstsq(rows, target.numpy().T.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(fit_similarity(source, target).numpy(), [[a, -b, c], [b, a, d]], atol=1e-9)


def test_fit_refuses_points_that_coincide():
    with pytest.raises(ValueError, match="coincide"):
        fit_similarity(torch.ones(5, 2), torch.tensor(TEMPLATE))


def test_inverse_is_exact():
    affine = similarity(0.137, 211, 5000, -3000)
    back = compose(invert(affine), affine)
    assert float((back - scaling(1.0)).abs().max()) < 1e-9
    points = torch.tensor([[0.0, 0.0], [5999, 3999]], dtype=torch.float64)
    assert float((transform(invert(affine), transform(affine, points)) - points).abs().max()) < 1e-9


def test_scale_of_counts_pixels():
    assert float(scale_of(similarity(2.5, 33, 1, 2))) == pytest.approx(2.5)


def test_template_in_larger_crops():
    # By hand: at twice the size, a centre at 192.98138 lies (192.98138 + 0.5) * 2 - 0.5 px in.
    assert template(1024)[0, 0].item() == pytest.approx(386.46276)
    # A margin of a half shows 1024 template px; at 512 px each is half a px, and 256 of them come first.
    assert template(512, 0.5)[0, 0].item() == pytest.approx((192.98138 + 0.5 + 256) / 2 - 0.5)
    torch.testing.assert_close(transform(to_template(640, 0.3), template(640, 0.3)), template())


def test_identity_and_whole_shifts_copy():
    image = picture(37, 53)
    assert torch.equal(warp(image, scaling(1.0), (37, 53)), image)
    shifted = warp(image, torch.tensor([[1.0, 0, -5], [0, 1, -7]]), (20, 30))
    assert torch.equal(shifted, image[:, 7:27, 5:35])
    beyond = torch.tensor([[1.0, 0, 2], [0, 1, 0]])
    assert torch.equal(warp(image, beyond, (37, 53), "zeros")[:, :, :2], torch.zeros(3, 37, 2))
    assert torch.equal(warp(image, beyond, (37, 53))[:, :, 0], image[:, :, 0])


@pytest.mark.parametrize(("padding", "border"), [("border", cv2.BORDER_REPLICATE), ("zeros", cv2.BORDER_CONSTANT)])
def test_enlarging_warp_agrees_with_opencv(padding, border):
    image, affine = picture(61, 83), similarity(1.9, 25, 12, -20)
    expected = cv2.warpAffine(to_cv(image), affine.numpy(), (160, 140), flags=cv2.INTER_CUBIC, borderMode=border)
    ours = warp(image, affine, (140, 160), padding)
    # OpenCV before 5 rounds positions to 1/32 px.
    tolerance = 1e-3 if int(cv2.__version__.split(".")[0]) >= 5 else 0.1
    assert float((ours - from_cv(expected)).abs().max()) < tolerance
    assert float((ours - from_cv(expected)).abs().mean()) < tolerance / 10


def test_warp_in_y_and_x_separately_agrees_with_opencv_resize():
    # A smooth picture, so that the filters' shapes do not matter, only where they look.
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(90.0), indexing="ij")
    image = torch.stack([torch.sin(x / 9), torch.cos(y / 7), torch.sin((x + y) / 11)])
    for width, height in ((180, 120), (45, 30), (30, 20)):
        mode = cv2.INTER_AREA if width < 90 else cv2.INTER_CUBIC
        expected = from_cv(cv2.resize(to_cv(image), (width, height), interpolation=mode))
        ours = warp(image, scaling(width / 90), (height, width))
        assert float((ours - expected)[:, 2:-2, 2:-2].abs().max()) < 0.012
    expected = from_cv(cv2.resize(to_cv(image), (180, 63), interpolation=cv2.INTER_CUBIC))
    ours = warp(image, scaling(2.0, 1.05), (63, 180))
    assert float((ours - expected)[:, 2:-2, 2:-2].abs().max()) < 0.005


def test_area_of_random_pixels_keeps_its_mean():
    image = picture(400, 400)
    assert float((warp(image, scaling(0.1), (40, 40)).mean() - image.mean()).abs()) < 1e-3


@pytest.mark.parametrize("shrink", [1.7, 2.0, 3.7, 9.0])
@pytest.mark.parametrize("degrees", [0, 30])
def test_shrinking_does_not_alias(shrink, degrees):
    # Stripes too fine for the result must come out grey, however the picture is turned; plain sampling keeps them.
    x = torch.arange(1200.0)
    image = (0.5 + 0.5 * torch.sin(2 * math.pi * x * 0.8 / shrink)).expand(1, 1200, 1200)
    affine = similarity(1 / shrink, degrees, 0, 0)
    middle = transform(affine, torch.tensor([[600.0, 600.0]]))[0]
    affine[:, 2] += 30 - middle
    ours = warp(image, affine, (60, 60))
    plain = cv2.warpAffine(image[0].numpy(), affine.numpy(), (60, 60), flags=cv2.INTER_CUBIC)
    assert plain.std() > 0.2
    assert float(ours.std()) < 0.1 * plain.std()


def test_shrinking_keeps_what_the_result_can_show():
    x = torch.arange(1200.0)
    image = (0.5 + 0.5 * torch.sin(2 * math.pi * x / 24)).expand(1, 1200, 1200)  # 8 px a period in the result
    affine = similarity(1 / 3, 20, 0, 0)
    affine[:, 2] += 30 - transform(affine, torch.tensor([[600.0, 600.0]]))[0]
    assert float(warp(image, affine, (60, 60)).std()) > 0.85 * math.sqrt(0.125)


@pytest.mark.parametrize("scale", [2.0, 1.0, 0.37])
def test_only_the_part_that_is_seen_is_touched(scale):
    image = torch.full((3, 900, 1300), float("nan"))
    seen = 60 / scale
    reach = 6 * max(1, math.ceil(1 / scale))
    x0, y0 = 500, 300
    image[:, y0 - reach : y0 + int(seen) + reach, x0 - reach : x0 + int(seen) + reach] = 0.25
    affine = compose(scaling(scale), torch.tensor([[1.0, 0, -x0], [0, 1, -y0]]))
    torch.testing.assert_close(warp(image, affine, (60, 60)), torch.full((3, 60, 60), 0.25))


def test_a_face_far_outside_sees_the_border():
    image = picture(40, 50)
    out = warp(image, similarity(1.5, 0, -1e4, -1e4), (8, 8))
    torch.testing.assert_close(out, image[:, -1:, -1:].expand(3, 8, 8))
    assert float(warp(image, similarity(1.5, 0, 1e4, 1e4), (8, 8), "zeros").abs().max()) == 0


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 0.004, 0.3, 1.0, 7.0, 1e6])
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_a_picture_beside_the_result_shows_its_edge(scale, padding):
    grey = torch.full((1, 9, 13), 0.25)
    for x in (-1e6, -40.0, 0.0, 40.0, 1e6):
        for y in (-1e6, 0.0, 60.0):
            out = warp(grey, similarity(scale, 20, x, y), (16, 16), padding)
            assert out.shape == (1, 16, 16) and float(out.min()) >= -0.1 and float(out.max()) <= 0.35
            if padding == "border":
                assert float((out - 0.25).abs().max()) < 1e-5


def test_a_picture_that_is_nearly_nothing_costs_nothing():
    image = picture(40, 60)
    out = warp(image, similarity(1e-6, 0, 8, 8), (16, 16))  # a pixel of the result is a million of the picture
    torch.testing.assert_close(out, image.mean((1, 2), keepdim=True).expand(3, 16, 16), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "affine",
    [
        [[0.0, 0, 0], [0, 0, 0]],
        [[1.0, 1, 0], [1, 1, 0]],
        [[math.nan, 0, 0], [0, 1, 0]],
        [[1.0, 0, math.inf], [0, 1, 0]],
    ],
)
def test_affines_without_an_inverse(affine):
    affine = torch.tensor(affine)
    for step in (invert, lambda affine: warp(picture(4, 4), affine, (4, 4))):
        with pytest.raises(ValueError, match=r"cannot be inverted; expected finite numbers and a scale above 0"):
            step(affine)


@pytest.mark.parametrize(
    ("shape", "size", "padding"),
    [((3, 0, 4), (4, 4), "zeros"), ((4, 4), (4, 4), "zeros"), ((3, 4, 4), (0, 4), "zeros"), ((3, 4, 4), (4, 4), "x")],
)
def test_pictures_without_a_pixel(shape, size, padding):
    with pytest.raises(ValueError, match="of at least a pixel, and 'border' or 'zeros'"):
        warp(torch.zeros(shape), scaling(1), size, padding)


@pytest.mark.parametrize(("size", "margin"), [(0, 0.0), (8, -1.0), (8, math.nan), (8, math.inf)])
def test_crops_that_cannot_be(size, margin):
    for step in (template, to_template):
        with pytest.raises(ValueError, match=r"Crops got size=.*; expected at least 1 px and 0"):
            step(size, margin)
