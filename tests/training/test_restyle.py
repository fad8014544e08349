import importlib.util

import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training import restyle


def test_a_linear_map_is_found_again_and_what_it_leaves_is_counted():
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(400, 8, generator=chance, dtype=torch.double)
    true, bias = torch.randn(3, 8, generator=chance, dtype=torch.double), torch.tensor([1.0, -2.0, 0.5]).double()
    y = x @ true.T + bias
    weight, found = restyle.ridge(x, y, 1e-9)
    assert torch.allclose(weight, true, atol=1e-6) and torch.allclose(found, bias, atol=1e-6)
    assert restyle.unexplained(x, y, weight, found) == pytest.approx(0, abs=1e-9)
    assert restyle.unexplained(x, y, torch.zeros_like(weight), y.mean(0)) == pytest.approx(1)
