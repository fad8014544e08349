from __future__ import annotations

import importlib.util

import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training.flow import place_error


def test_place_error_is_in_pixels_of_512() -> None:
    here = torch.zeros(1, 1, 106, 2)
    there = here + torch.tensor([3.0, 4.0]) / 256
    right = torch.ones(1, 1, dtype=torch.bool)
    assert float(place_error(torch.zeros(1, 1, 2, 64, 64), here, there, right)) == pytest.approx(5, rel=1e-3)
    flow = (torch.tensor([3.0, 4.0]) / 256).view(1, 1, 2, 1, 1).expand(1, 1, 2, 64, 64)
    assert float(place_error(flow, here, there, right)) < 0.1
