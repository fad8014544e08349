"""What the rows are made of; the table itself is made by the command (tests/apps/test_evaluate.py)."""

import importlib.util

import numpy as np
import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips", "skimage"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training.evaluate import classical_filters, strengths


def test_filters_leave_a_flat_face_alone_and_smooth_a_noisy_one():
    flat = np.full((512, 512, 3), (90, 120, 150), np.uint8)
    noisy = (flat + np.random.default_rng(0).normal(0, 6, flat.shape)).clip(0, 255).astype(np.uint8)
    for name, one in classical_filters().items():
        assert np.abs(one(flat).astype(int) - flat).max() <= 1, name
        assert one(noisy).std((0, 1)).max() < 0.8 * noisy.std((0, 1)).min(), name


def test_as_much_is_blended_in_as_the_face_is_damaged(patterns):
    cells = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    texture = cells.repeat_interleave(16, 2).repeat_interleave(16, 3)
    found = strengths(torch.cat([texture, torch.full_like(texture, 0.5)]))
    assert found.shape == (2, 1, 1, 1) and found.flatten().tolist() == [0, 1]
