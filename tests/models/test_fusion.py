from __future__ import annotations

import pytest
import torch
from resemblance.core.models.fusion import bands, decided, match_colours
from torch import Tensor
from torch.nn import functional as F


@pytest.fixture(scope="module")
def faces() -> Tensor:
    small = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return F.interpolate(small, (512, 512), mode="bicubic").clamp(0, 1)


def test_colours_are_the_faces_own(faces: Tensor) -> None:
    dark = faces[:1] * 0.4 + 0.1
    matched = match_colours(faces[1:2], dark)
    middle = (slice(None), slice(None), slice(8 * 16, 29 * 16), slice(6 * 16, 26 * 16))
    torch.testing.assert_close(matched[middle].mean((2, 3)), dark[middle].mean((2, 3)), rtol=0, atol=0.02)


def test_bands_and_what_is_left_make_the_picture(faces: Tensor) -> None:
    x = faces[:1]
    fine, middle, coarse = bands(x)
    rest = F.avg_pool2d(x, 8)
    for band in (coarse, middle, fine):
        rest = F.interpolate(rest, scale_factor=2, mode="bilinear", align_corners=False) + band
    torch.testing.assert_close(rest, x, rtol=0, atol=1e-5)


def test_shares_are_nearer_to_all_or_nothing() -> None:
    share = torch.linspace(0, 1, 101)
    said = decided(share)
    assert said[0] == 0 and said[-1] == 1 and bool((said.diff() > 0).all())
    assert said[15] < 0.1 and said[60] > 0.9
