"""Wear of prints and copies: what it may change, and what not."""

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
from resemblance.core.training.wear import (  # noqa: E402
    damage,
    occlude,
    wear,
)
from resemblance.core.training.wears import COPIES, PRINTS  # noqa: E402


@pytest.fixture
def face():
    """A smooth picture in colour."""
    y, x = np.mgrid[:128, :128] / 127
    return np.stack([90 + 100 * x, 60 + 120 * y, 130 + 60 * x * y], -1).astype(np.uint8)


@pytest.mark.parametrize("name", PRINTS | COPIES)
def test_wear_is_a_function_of_picture_and_seed(face, name):
    kind = {name: (PRINTS | COPIES)[name]}
    before = face.copy()
    worn = [wear(face, kind, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(face, before)
    assert all(w.dtype == np.uint8 and w.shape == face.shape for w in worn)
    assert np.array_equal(worn[0], worn[1])
    assert not np.array_equal(worn[0], worn[2]) and not np.array_equal(worn[0], face)


def test_a_picture_of_any_shape_is_worn(face):
    part = np.ascontiguousarray(face[:100, :77])
    for seed in range(6):
        worn = wear(part, PRINTS, np.random.default_rng(seed))
        assert worn.shape == part.shape and not np.array_equal(worn, part)


def test_what_occludes_covers_one_piece(face):
    other = np.full_like(face, 255)
    covered = (occlude(face, other, np.random.default_rng(0)) != face).any(-1)
    assert 0.005 < covered.mean() < 0.7
    count, _ = cv2.connectedComponents(covered.astype(np.uint8))
    assert count == 2  # the rest of the picture, and the piece


def test_three_faces_in_ten_are_worn(face, monkeypatch):
    from resemblance.core.training import wear as module

    calls = []
    monkeypatch.setattr(module, "wear", lambda face, kinds, rng: calls.append(set(kinds)) or face)
    for seed in range(400):
        damage(face, "light", np.random.default_rng(seed))
    assert 0.23 < len(calls) / 400 < 0.37
    assert calls.count(set(PRINTS)) > 30 and calls.count(set(COPIES)) > 30
