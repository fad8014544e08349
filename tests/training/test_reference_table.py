from __future__ import annotations

import importlib.util
from dataclasses import fields

import pytest

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.records import ReferenceFeatures


def test_the_parts_of_ablations_are_all_there_is() -> None:
    from resemblance.core.training.reference_table import PARTS

    named = [name for part in PARTS.values() for name in part]
    # Without gates nothing is fused, and the pictures are what the parts are put into.
    assert sorted([*named, "gates", "pictures"]) == sorted(field.name for field in fields(ReferenceFeatures))
