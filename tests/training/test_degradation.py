import importlib.util

import numpy as np
import pytest

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training.degradation import SEVERITIES, blur_kernel, degrade


def face(seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return small.repeat(32, 0).repeat(32, 1)


def test_degradation_is_repeatable_and_grows_with_severity():
    clean = face()
    first, again = (degrade(clean, "moderate", np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, degrade(clean, "moderate", np.random.default_rng(4)))
    errors = {
        name: np.mean(
            [np.abs(degrade(clean, name, np.random.default_rng(s)) - clean.astype(float)).mean() for s in range(8)]
        )
        for name in SEVERITIES
    }
    assert errors["light"] < errors["moderate"] < errors["severe"]
    assert first.shape == clean.shape and first.dtype == np.uint8


def test_blur_kernel_has_the_sigma_it_was_asked_for():
    kernel = blur_kernel(np.random.default_rng(0), (3, 3)).astype(float)
    x = np.arange(41) - 20
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert np.sqrt((kernel.sum(0) * x**2).sum()) == pytest.approx(3, rel=0.01)
