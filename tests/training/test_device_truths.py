"""Batches made on the device."""

import numpy as np
import pytest
import torch
from resemblance.core.training import device_truths
from resemblance.core.training.device_truths import Counts, DeviceTruths
from resemblance.core.training.generator_basis import SIDE, make_basis, one_style
from stand_ins import small_generator


@pytest.fixture(scope="module")
def truths():
    generator = small_generator()
    basis = make_basis(generator, range(100, 108), 4, 16, 300)
    sides = {1: 512, 2: 256, 4: 256}
    photographs = {
        part: torch.stack([torch.full((3, side, side), 40 * part + i, dtype=torch.uint8) for i in range(3)])
        for part, side in sides.items()
    }
    return DeviceTruths(generator, basis, photographs)


def test_a_batch_has_faces_of_each_group():
    assert Counts.of(64) == Counts(35, 17, 4, 8) and Counts.of(64).all == 64 and Counts.of(64).full == 52
    assert Counts.of(4) == Counts(1, 1, 1, 1)


@torch.no_grad()
def test_people_are_told_with_their_latents_and_styles(truths):
    faces, latents, w = truths.people(torch.Generator().manual_seed(0), 3)
    for i in range(3):
        features = truths.generator.synthesis.features(one_style(w[i : i + 1]), SIDE)
        assert torch.allclose(truths.basis.to_latent(features)[0], latents[i], atol=1e-4)
        drawn = truths.generator.synthesis.finish(features, one_style(w[i : i + 1])) / 2 + 0.5
        assert torch.allclose(drawn.clamp(0, 1)[0], faces[i], atol=1e-4)
    assert not torch.allclose(w[0], w[1])


def test_a_batch_is_damaged_and_depends_on_chance_alone(truths):
    counts = Counts(3, 2, 1, 2)
    first, again, other = (truths.batch(np.random.default_rng(seed), counts) for seed in (1, 1, 2))
    assert first.clean.shape == first.damaged.shape == (8, 3, 512, 512) and len(first) == 8
    assert torch.equal(first.damaged, again.damaged) and torch.equal(first.clean, again.clean)
    assert not torch.equal(first.clean[:3], other.clean[:3])
    assert all((a != b).any() for a, b in zip(first.clean, first.damaged, strict=True))
    for x in (first.clean, first.damaged):
        assert x.isfinite().all() and x.min() >= 0 and x.max() <= 1
    assert first.latents.shape == (3, 4, SIDE, SIDE) and first.styles.shape == (3, 512)


def test_groups_are_the_photographs_that_they_should_be(truths, monkeypatch):
    monkeypatch.setattr(device_truths, "TONED", 0.0)
    batch = truths.batch(np.random.default_rng(3), Counts(1, 2, 2, 2))
    levels = 255 * batch.clean.mean((1, 2, 3))
    for part, rows in ((1, (1, 2)), (2, (3, 4)), (4, (5, 6))):
        assert all(40 * part - 1 <= float(levels[row]) <= 40 * part + 3 for row in rows)
    assert batch.plain.tolist() == [1.0]


def test_what_has_other_tones_has_another_latent(truths, monkeypatch):
    monkeypatch.setattr(device_truths, "TONED", 1.0)
    counts = Counts(4, 1, 1, 1)
    rng = np.random.default_rng(4)
    batch = truths.batch(rng, counts)
    assert batch.plain.tolist() == [0.0] * 4
    chance = torch.Generator().manual_seed(int(np.random.default_rng(4).integers(1 << 62)))
    plain, _, _ = truths.people(chance, 4)
    assert all((a - b).abs().max() > 0.02 for a, b in zip(plain, batch.clean, strict=False))
