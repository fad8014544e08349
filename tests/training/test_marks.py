"""Damage that is drawn where it is known to lie."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def marks():
    pytest.importorskip("cv2")
    from resemblance.core.training import marks

    return marks


def test_marks_follow_the_seed_and_stay_in_range(marks):
    picture = np.random.default_rng(0).random((128, 128, 3), np.float32)
    drawn = [marks.mark(picture, np.random.default_rng(seed)) for seed in range(12)]
    assert np.array_equal(drawn[3], marks.mark(picture, np.random.default_rng(3)))
    assert all(each.dtype == np.float32 and each.min() >= 0 and each.max() <= 1 for each in drawn)
    assert not any(np.array_equal(picture, each) for each in drawn)


@pytest.mark.parametrize("kind, most", [("fold", 0.2), ("scratch", 0.1), ("fibre", 0.03), ("tear", 0.2), ("ink", 0.15)])
def test_a_mark_covers_a_little_and_leaves_the_rest(marks, kind, most):
    picture = np.full((marks.SIDE, marks.SIDE, 3), 0.5, np.float32)
    shares = []
    for seed in range(20):
        change = np.abs(getattr(marks, kind)(picture, np.random.default_rng(seed)) - picture).max(2)
        shares.append(float((change > 0.2).mean()))
    assert max(shares) < most and np.mean(np.array(shares) > 0) > 0.5


def test_a_fold_goes_from_edge_to_edge(marks):
    picture = np.full((marks.SIDE, marks.SIDE, 3), 0.5, np.float32)
    for seed in range(10):
        change = np.abs(marks.fold(picture, np.random.default_rng(seed)) - picture).max(2) > 0.02
        assert max(change.any(0).mean(), change.any(1).mean()) > 0.35


def test_lost_emulsion_shows_paper(marks):
    picture = np.zeros((marks.SIDE, marks.SIDE, 3), np.float32)
    shares = [(marks.lost(picture, np.random.default_rng(seed)) > 0.3).any(2).mean() for seed in range(20)]
    assert 0.002 < max(shares) < 0.15
