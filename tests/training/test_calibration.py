"""What cosines mean: comparisons, the regression on them, and the numbers it is judged by."""

import importlib.util
from dataclasses import replace

import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.faces.evidence import Calibration
from resemblance.core.models.embedding import EmbeddingConfig, EmbeddingNet
from resemblance.core.training import calibration
from resemblance.core.training.calibration import Pairs, fit, losses, pairs_of, reliability, slipped
from stand_ins import QUALITY, embed, some_trials


def test_the_regression_finds_the_odds_that_cosines_were_drawn_by():
    # Cosines of the same people are N(0.6, 0.1²) and of strangers N(0.2, 0.1²): log-odds 40·(c - 0.4).
    chance = torch.Generator().manual_seed(0)
    same = torch.arange(4000) % 4 == 0
    cosines = torch.where(same, 0.6, 0.2) + 0.1 * torch.randn(4000, generator=chance)
    counts = torch.tensor([1] * 4 + [5] * 4).repeat(500)
    pairs = Pairs(cosines, [QUALITY] * 4000, counts, same, ["severe"] * 4000)
    fitted = fit(pairs)
    seen = fitted.evidence(torch.tensor([[0.35], [0.4], [0.45]]), [QUALITY] * 3, [1])[:, 0]
    assert seen.tolist() == pytest.approx([-2, 0, 2], abs=0.6)
    table = reliability(pairs, pairs.each(fitted.evidence)).splitlines()[2:]
    for line in table:
        told, true = (float(cell) for cell in line.strip("| ").split(" | ")[1:3])
        assert told == pytest.approx(true, abs=0.15)
    assert losses(pairs, pairs.each(fitted.evidence)).splitlines()[2].startswith("| severe | 0.0")


def test_comparisons_never_hold_the_face_itself_and_strangers_are_others():
    made, _ = some_trials(people=5, photographs=4, noise=0.0)
    pairs = pairs_of(made, embed, ("severe",))
    assert set(pairs.counts.tolist()) == {1, 2, 3}  # nobody has five others
    assert (pairs.cosines[pairs.same] > 1 - 1e-5).all() and (pairs.cosines[~pairs.same] < 1 - 1e-3).all()
    assert 2 <= float((~pairs.same).sum() / pairs.same.sum()) <= calibration.STRANGERS


def test_a_stranger_who_slipped_among_four_is_found():
    made, _ = some_trials(people=6, photographs=5, noise=0.1)
    made = replace(made, quality={"clean": made.quality["severe"]})
    told = Calibration((-20.0, 40.0, *(0.0,) * 8))  # cosines of the same are 0.97 and more, of strangers -0.6 to 0.6
    sentence = "of 240 right photographs 0 are refused, of 60 strangers among four right ones 60 found"
    assert slipped(made, embed, told) == sentence
    # Who believes all finds nobody.
    assert slipped(made, embed, Calibration((7.0, *(0.0,) * 9))).endswith("four right ones 0 found")


def test_weights_are_moved_back_by_a_share():
    config = EmbeddingConfig(4, (8, 8), (2, 2), dim=6)
    trained, begun = EmbeddingNet(config), EmbeddingNet(config)
    expected = 0.85 * trained.out.weight.detach() + 0.15 * begun.out.weight.detach()
    torch.testing.assert_close(calibration.moved_back(trained, begun).out.weight.detach(), expected)


def test_a_calibration_of_another_length_is_refused():
    with pytest.raises(ValueError, match="3 numbers; expected 10"):
        Calibration((1.0, 2.0, 3.0))
