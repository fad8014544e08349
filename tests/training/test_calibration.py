"""What cosines mean: comparisons, the regression on them, and the numbers it is judged by."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

if not all(map(importlib.util.find_spec, ("cv2", "onnx"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.faces.evidence import Calibration
from resemblance.core.geometry import template
from resemblance.core.models.embedding import EmbeddingConfig, EmbeddingNet
from resemblance.core.records import FaceQuality
from resemblance.core.training import calibration, embedding_table, restyle, trials
from resemblance.core.training.calibration import Pairs, fit, losses, pairs_of, reliability, slipped
from resemblance.core.training.embedding_table import first, means_of, passing, passing_means
from resemblance.core.training.trials import Trials

QUALITY = FaceQuality(0.5, 60.0, 0.0, 0.5)


def some_trials(people: int, photographs: int, noise: float, seed: int = 0) -> tuple[Trials, torch.Tensor]:
    """Trials whose crops are embeddings in disguise: 16 numbers for each person, and noise."""
    chance = torch.Generator().manual_seed(seed)
    person = torch.arange(people).repeat_interleave(photographs)
    faces = torch.randn(people, 16, generator=chance)[person]
    clean = faces + noise * torch.randn(faces.shape, generator=chance)
    damaged = faces + 2 * noise * torch.randn(faces.shape, generator=chance)
    made = Trials(person, clean, {"severe": damaged}, {"severe": [QUALITY] * len(person)})
    return made, person


def embed(x: torch.Tensor) -> torch.Tensor:
    return F.normalize(x.float(), dim=1)


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
    made = replace(made, quality={"clean": made.code_latent["severe"]})
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


def test_shares_that_pass_are_those_counted_by_hand():
    made, person = some_trials(people=6, photographs=3, noise=0.8)
    clean, damaged = made.embedded(embed)
    bad = damaged["severe"]
    pairs = [(i, j) for i in range(18) for j in range(18) if i != j]
    strangers = sorted(float(bad[i] @ clean[j]) for i, j in pairs if person[i] != person[j])
    least = np.quantile(strangers, 0.99)
    own = [float(bad[i] @ clean[j]) >= least for i, j in pairs if person[i] == person[j]]
    assert passing(bad, clean, person) == pytest.approx(np.mean(own))
    means = means_of(clean, person)
    assert torch.allclose(means[0], F.normalize(clean[1] + clean[2], dim=0), atol=1e-6)
    assert passing_means(clean, means, person) >= passing_means(bad, means, person)
    everybody_right, _ = some_trials(people=6, photographs=3, noise=0.01)
    clean, damaged = everybody_right.embedded(embed)
    assert first(damaged["severe"], clean, person) == 1
    assert first(damaged["severe"].flip(0), clean, person) == 0  # six people, in reverse: nobody is right


def test_trials_are_kept_and_read_back(tmp_path: Path, monkeypatch):
    face = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    people = [
        trials.Portrait(0, "lfw/0_0.jpg", "lfw-0", "val", 1.0),
        trials.Portrait(1, "lfw/0_1.jpg", "lfw-0", "val", 1.0),
    ]
    monkeypatch.setattr(trials, "read_portraits", lambda work: (np.stack([face, face[::-1]]), people))
    made = trials.read_trials(tmp_path, "lfw")
    monkeypatch.setattr(trials, "_make", None)
    again = trials.read_trials(tmp_path, "lfw")
    assert len(again) == 2 and again.code_latent == made.code_latent
    assert torch.equal(again.damaged["severe"], made.damaged["severe"])
    assert made.code_latent["small"][0].size < 20 < made.code_latent["clean"][0].size
    # The same photograph is damaged the same way, and differently from the other one.
    assert torch.equal(trials.cut_out(face, "severe", 3).pixels, trials.cut_out(face, "severe", 3).pixels)
    assert not torch.equal(trials.cut_out(face, "severe", 3).pixels, trials.cut_out(face, "severe", 4).pixels)


def test_landmarks_are_set_off_by_as_much_as_said():
    offs = []
    for seed in range(40):
        crops = trials.cut_out(np.zeros((512, 512, 3), np.uint8), "clean", seed)
        offs.append((torch.tensor(crops.faces[0].landmarks) - template()).flatten())
    assert float(torch.cat(offs).std()) == pytest.approx(trials.OFF, rel=0.15)


def test_a_linear_map_is_found_again_and_what_it_leaves_is_counted():
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(400, 8, generator=chance, dtype=torch.double)
    true, bias = torch.randn(3, 8, generator=chance, dtype=torch.double), torch.tensor([1.0, -2.0, 0.5]).double()
    y = x @ true.T + bias
    weight, found = restyle.ridge(x, y, 1e-9)
    assert torch.allclose(weight, true, atol=1e-6) and torch.allclose(found, bias, atol=1e-6)
    assert restyle.unexplained(x, y, weight, found) == pytest.approx(0, abs=1e-9)
    assert restyle.unexplained(x, y, torch.zeros_like(weight), y.mean(0)) == pytest.approx(1)


def test_weights_and_checkpoints_give_the_same_network(tmp_path: Path):
    net = embedding_table.network_of(calibration.Path(embedding_table.WEIGHTS))
    torch.save({"average": net.state_dict()}, tmp_path / "embedding.pt")
    save_file({name: x.contiguous() for name, x in net.state_dict().items()}, tmp_path / "embedding.safetensors")
    crops = torch.rand(1, 3, 112, 112)
    for path in ("embedding.pt", "embedding.safetensors"):
        assert torch.equal(embedding_table.network_of(tmp_path / path).embed(crops), net.embed(crops))


def test_a_calibration_of_another_length_is_refused():
    with pytest.raises(ValueError, match="3 numbers; expected 10"):
        Calibration((1.0, 2.0, 3.0))
