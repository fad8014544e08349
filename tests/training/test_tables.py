import importlib.util

import pytest

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips", "skimage"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training.tables import change, half_of, markdown, summary


def test_halves_share_nobody():
    people = ["d", "a", "c", "b", "a"]
    assert half_of(people, "even") == {"a", "c"} and half_of(people, "odd") == {"b", "d"}


def test_a_constant_has_no_spread_and_a_shift_is_found():
    assert summary([0.25] * 7) == {"mean": 0.25, "low": 0.25, "high": 0.25}
    assert change([1.5, 2.5, 3.5], [1.0, 2.0, 3.0], "sface") == "+0.500 (+0.500 to +0.500)"
    spread = summary([0.0, 1.0] * 50)
    # 90% of means of 100 fair coins lie within 1.645 deviations of 0.05.
    assert (spread["low"], spread["high"]) == (pytest.approx(0.418, abs=0.015), pytest.approx(0.582, abs=0.015))
    assert markdown(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---|\n| 1 | 2 |"
