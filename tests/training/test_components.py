"""The map of eyes, nose and mouth."""

from __future__ import annotations

import torch
from resemblance.core.geometry import TEMPLATE
from resemblance.core.training.components import component_map


def test_it_is_brightest_at_eyes_nose_and_between_the_corners_of_the_mouth() -> None:
    found = component_map(512)[0, 0]
    left, right, nose, one, other = TEMPLATE
    mouth = ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2)
    for x, y in (left, right, nose, mouth):
        assert found[round(y), round(x)] > 0.99
    assert found.max() <= 1
    assert found[20, 256] < 1e-3  # the forehead's top
    assert found[round(mouth[1]), round(one[0])] > 0.1  # the mouth is wide
    assert found[round(mouth[1]) + 58, round(mouth[0])] < found[round(mouth[1]), round(mouth[0]) + 58]


def test_sides_scale() -> None:
    small = component_map(256)
    averaged = torch.nn.functional.avg_pool2d(component_map(512), 2)
    torch.testing.assert_close(small, averaged, rtol=0, atol=0.01)
