"""Wear of prints and copies: what it may change, and what not."""

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
from resemblance.core.training.degradation import damage  # noqa: E402 - after what they need is there
from resemblance.core.training.wear import COPIES, PRINTS, grain, halftone, jpeg_twice, occlude, scratches  # noqa: E402


@pytest.fixture
def face():
    """A smooth picture in colour."""
    y, x = np.mgrid[:128, :128] / 127
    return np.stack([90 + 100 * x, 60 + 120 * y, 130 + 60 * x * y], -1).astype(np.uint8)


@pytest.mark.parametrize("name", PRINTS | COPIES)
def test_wear_is_a_function_of_picture_and_seed(face, name):
    wear = (PRINTS | COPIES)[name]
    before = face.copy()
    worn = [wear(face, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(face, before)
    assert all(w.dtype == np.uint8 and w.shape == face.shape for w in worn)
    assert np.array_equal(worn[0], worn[1])
    assert not np.array_equal(worn[0], worn[2]) and not np.array_equal(worn[0], face)


def test_dots_give_back_the_tone_from_afar(face):
    for seed in range(4):
        printed = halftone(face, np.random.default_rng(seed))
        near = np.abs(printed.astype(float) - face).mean()
        far = np.abs(cv2.blur(printed, (33, 33)).astype(float) - cv2.blur(face, (33, 33)))[16:-16, 16:-16].mean()
        assert far < near / 2


def test_scratches_leave_most_of_the_picture_alone(face):
    changed = [(scratches(face, np.random.default_rng(seed)) != face).any(-1).mean() for seed in range(8)]
    assert min(changed) > 0 and max(changed) < 0.7


def test_grain_is_grey_and_brightens_nothing():
    grey = np.full((128, 128, 3), 128, np.uint8)
    for seed in range(4):
        added = grain(grey, np.random.default_rng(seed)).astype(float) - grey
        assert np.ptp(added, axis=-1).max() == 0
        assert 7 < added.std() < 40 and abs(added.mean()) < added.std() / 4


def test_two_grids_of_blocks(face):
    """Compressed once, edges lie at multiples of 8 from the corner alone; cut between, elsewhere too."""
    rows = np.abs(np.diff(jpeg_twice(face, np.random.default_rng(5)).astype(float), axis=0)).mean((1, 2))
    smooth = np.abs(np.diff(face.astype(float), axis=0)).mean((1, 2)).max()
    assert rows.max() > 2 * smooth


def test_what_occludes_covers_one_piece(face):
    other = np.full_like(face, 255)
    covered = (occlude(face, other, np.random.default_rng(0)) != face).any(-1)
    assert 0.005 < covered.mean() < 0.7
    count, _ = cv2.connectedComponents(covered.astype(np.uint8))
    assert count == 2  # the rest of the picture, and the piece


def test_three_faces_in_ten_are_worn(face, monkeypatch):
    from resemblance.core.training import wear

    calls = []
    monkeypatch.setattr(wear, "wear", lambda face, kinds, rng: calls.append(set(kinds)) or face)
    for seed in range(400):
        damage(face, "light", np.random.default_rng(seed))
    assert 0.23 < len(calls) / 400 < 0.37
    assert calls.count(set(PRINTS)) > 30 and calls.count(set(COPIES)) > 30
