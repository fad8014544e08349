"""The damage network and its training."""

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def training():
    pytest.importorskip("lpips")
    return pytest.importorskip("resemblance.core.training.damage")


def test_spoiling_follows_the_seed_and_leaves_some_alone(training):
    face = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    spoiled = [training.spoilt(face, np.random.default_rng(seed)) for seed in range(20)]
    assert np.array_equal(spoiled[3], training.spoilt(face, np.random.default_rng(3)))
    alone = sum(np.array_equal(face, other) for other in spoiled)
    assert 0 < alone < 10
    assert all(other.shape == face.shape and other.dtype == np.uint8 for other in spoiled)


def test_the_table_compares_what_is_said_with_what_is_true(training, monkeypatch):
    monkeypatch.setattr(training, "SPOILS", {"darker": lambda face, rng: face // 2, "none": lambda face, rng: face})
    faces = [np.full((512, 512, 3), value, np.uint8) for value in (100, 200)]
    found = training.differences(
        lambda faces: faces.mean((1, 2, 3)), lambda x, y: (x - y).abs().mean((1, 2, 3), keepdim=True), faces
    )
    torch.testing.assert_close(found["darker"][0], torch.tensor([50 / 255, 100 / 255]))
    torch.testing.assert_close(found["darker"][1], torch.tensor([50 / 255, 100 / 255]))
    assert "| none | 0.000 | 0.588 | 0.588 | 0.784 |" in training.table(found)
