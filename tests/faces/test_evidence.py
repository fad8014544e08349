"""How cosines become evidence, and evidence chances."""

import math
from dataclasses import replace

import pytest
import torch
from resemblance.core.faces.evidence import (
    CERTAIN,
    FULL_SIZE,
    TERMS,
    Calibration,
    amount,
    chance,
    log_odds,
    smallness,
    terms,
)
from resemblance.core.records import FaceQuality

# Evidence rises with the cosine: by 10.5 on a good face (12 - 1 - 0.5), by 7.4 on a ruined one (12 - 2 - 1 - 1.6).
SENSIBLE = Calibration((-4.0, 12.0, -1.0, -0.5, -0.1, -2.0, -1.0, -0.4, 0.5, 1.0))
CLEAN = FaceQuality(sharpness=1.0, size=FULL_SIZE, noise=0.0, severity=0.0)
RUINED = FaceQuality(sharpness=0.0, size=FULL_SIZE / 16, noise=0.1, severity=1.0)


def test_the_regression_by_hand():
    face = FaceQuality(sharpness=0.25, size=FULL_SIZE / 4, noise=0.3, severity=0.6)
    # 1, cosine, damage, blur, halvings of the size, each of these by the cosine, 1 / photographs, by the cosine
    expected = [1, 0.4, 0.6, 0.75, 2, 0.4 * 0.6, 0.4 * 0.75, 0.4 * 2, 1 / 5, 0.4 / 5]
    assert terms(torch.tensor([[0.4]]), [face], [5])[0, 0].tolist() == pytest.approx(expected)
    weights = [0.3, 2.0, -0.7, 0.1, -0.2, 0.5, -0.4, 0.6, -0.3, 0.8]
    found = Calibration(tuple(weights)).evidence(torch.tensor([[0.4]]), [face], [5])
    assert float(found) == pytest.approx(sum(w * x for w, x in zip(weights, expected, strict=True)))


def test_each_face_and_each_person_has_its_own():
    cosines = torch.tensor([[0.2, 0.3], [0.4, 0.5], [0.6, 0.1]])
    found = SENSIBLE.evidence(cosines, [CLEAN, RUINED, CLEAN], [1, 4])
    assert found.shape == (3, 2)
    for n, quality in enumerate([CLEAN, RUINED, CLEAN]):
        for p, count in enumerate([1, 4]):
            alone = SENSIBLE.evidence(cosines[n : n + 1, p : p + 1], [quality], [count])
            assert float(found[n, p]) == pytest.approx(float(alone), abs=1e-6)


@pytest.mark.parametrize("quality", [CLEAN, RUINED])
@pytest.mark.parametrize("count", [1, 2.5, 8])
def test_the_more_alike_the_more_evidence(quality, count):
    cosines = torch.linspace(0, 0.8, 9)[None]
    found = SENSIBLE.evidence(cosines, [quality], [count] * 9)[0]
    assert (found.diff() > 0).all() and found.abs().max() < CERTAIN


def test_a_cosine_says_more_of_a_clean_face():
    either = torch.tensor([[0.1, 0.7]])
    clean, ruined = (SENSIBLE.evidence(either, [face], [4, 4])[0].diff() for face in (CLEAN, RUINED))
    assert float(clean) == pytest.approx(0.6 * 10.75) and float(ruined) == pytest.approx(0.6 * 7.65)


def test_faces_better_than_what_was_measured_count_as_that():
    median = FaceQuality(sharpness=0.5, size=FULL_SIZE, noise=0.0, severity=0.5)
    cosine = torch.tensor([[0.3]])
    assert torch.equal(SENSIBLE.evidence(cosine, [CLEAN], [2]), SENSIBLE.evidence(cosine, [median], [2]))
    for worse in (replace(median, severity=0.6), replace(median, sharpness=0.4), replace(median, size=60.0)):
        assert SENSIBLE.evidence(cosine, [worse], [2]) < SENSIBLE.evidence(cosine, [median], [2])


def test_one_look_says_no_more_than_it_can():
    found = Calibration((0.0, 100.0, *(0.0,) * (TERMS - 2))).evidence(torch.tensor([[1.0, -1.0]]), [CLEAN], [1, 1])
    assert found.tolist() == [[CERTAIN, -CERTAIN]]


def test_nobody_and_no_faces():
    assert SENSIBLE.evidence(torch.zeros(2, 0), [CLEAN, RUINED], []).shape == (2, 0)
    assert SENSIBLE.evidence(torch.zeros(0, 3), [], [1, 2, 3]).shape == (0, 3)


@pytest.mark.parametrize(("size", "expected"), [(126, 0), (400, 0), (63, 1), (31.5, 2), (4, 4.977), (0.1, 4.977)])
def test_each_halving_counts(size, expected):
    assert smallness(size) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("number", [TERMS - 1, TERMS + 1, 0])
def test_a_wrong_number_of_weights(number):
    with pytest.raises(ValueError, match=f"has {number} numbers; expected {TERMS}"):
        Calibration((0.0,) * number)


@pytest.mark.parametrize("value", [1e-6, 0.02, 0.5, 0.97, 1 - 1e-6])
def test_chances_and_log_odds_are_each_others_inverse(value):
    assert chance(log_odds(value)) == pytest.approx(value, rel=1e-9)
    assert log_odds(1 - value) == pytest.approx(-log_odds(value), rel=1e-6, abs=1e-12)


def test_chances():
    assert (chance(0), chance(math.log(3)), chance(-math.log(3))) == pytest.approx((0.5, 0.75, 0.25))
    assert (chance(-1e6), chance(1e6)) == (0, 1)
    assert log_odds(0.9) == pytest.approx(math.log(9))


@pytest.mark.parametrize(
    ("sure", "expected"), [(None, 1), (1.0, 1), (0.9, 1), (0.6, 16 / 81), (0.45, 1 / 16), (0.0, 0)]
)
def test_the_less_sure_it_is_the_less_is_taken(sure, expected):
    assert amount(sure) == pytest.approx(expected)
