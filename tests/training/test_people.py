from __future__ import annotations

import importlib.util

import numpy as np
import pytest

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training import people


def test_another_photograph_keeps_what_makes_a_person() -> None:
    rng = np.random.default_rng(0)
    w, other = rng.standard_normal((2, 1, 512))
    styles = people.another_photograph(w, other, rng)
    assert styles.shape == (23, 512)
    moved = ((styles - w) * (other - w)).sum(1) / np.square(other - w).sum()
    assert moved.min() >= 0
    assert moved[7:10].max() <= 0.2  # features
    assert np.ptp(moved[:4]) < 1e-9 and np.ptp(moved[16:]) < 1e-9  # groups move together
    assert np.allclose(people.another_photograph(w, other, rng, most=0.0), w)
