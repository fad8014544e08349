"""Critics, and what they add to the gradient."""

import numpy as np
import pytest
import torch
from resemblance.core.geometry import template
from resemblance.core.training.adversary import (
    EVERY,
    PATCH,
    SHARE,
    Critic,
    DeviceAdversary,
    corners,
    more_real,
)
from resemblance.core.training.perceptual import Perceptual


def test_patches_lie_on_eyes_and_mouth_and_inside():
    left, right, _, one, other = template(512).numpy()
    for seed in range(50):
        spots = corners(np.random.default_rng(seed), 512)
        assert len(spots) == 4
        assert all(0 <= v <= 512 - PATCH for spot in spots for v in spot)
        for (row, column), (x, y) in zip(spots[1:], (left, right, (one + other) / 2), strict=True):
            assert row < y < row + PATCH and column < x < column + PATCH
    assert len(corners(np.random.default_rng(0), 256)) == 1


def test_the_critic_looks_at_places():
    torch.manual_seed(0)
    critic = Critic(8)
    patch = torch.rand(1, 3, PATCH, PATCH)
    here, there = torch.zeros(1, 2, PATCH, PATCH), torch.ones(1, 2, PATCH, PATCH)
    assert critic(patch, here).shape == (1, 1, PATCH // 8, PATCH // 8)
    assert not torch.allclose(critic(patch, here), critic(patch, there))


def test_what_looks_more_real_costs_less():
    low, high = [torch.zeros(2, 1, 4, 4)], [torch.ones(2, 1, 4, 4)]
    assert more_real(high, low) < more_real(low, low) < more_real(low, high)


@pytest.fixture
def adversary():
    torch.manual_seed(0)
    state = {"conv0.weight": torch.randn(4, 3, 3, 3), "conv0.bias": torch.zeros(4)}
    state |= {"conv1.weight": torch.randn(6, 4, 3, 3), "conv1.bias": torch.zeros(6), "lin0.weight": torch.ones(6)}
    return DeviceAdversary(Perceptual("vgg", state), 256, "cpu", False, 0)


def test_its_share_of_the_gradient_is_set_and_lies_at_its_squares(adversary):
    clean, start = torch.rand(2, 3, 256, 256), torch.rand(2, 3, 256, 256)
    row, column = corners(np.random.default_rng((0, 9)), 256)[0]
    drawn = start.clone().requires_grad_(True)
    y = drawn * 1.0
    adversary.pull(y, clean)
    (y * y).sum().backward()
    added = drawn.grad - 2 * start
    square = (..., slice(row, row + PATCH), slice(column, column + PATCH))
    outside = added.clone()
    outside[square] = 0
    assert outside.abs().max() < 1e-6 and added[square].any()
    assert float(added.norm() / (2 * start)[square].norm()) == pytest.approx(SHARE, rel=0.02)


def test_the_critics_learn_to_tell_and_are_held_smooth(adversary):
    chance = torch.Generator().manual_seed(1)
    before = {name: p.clone() for name, p in adversary.critics.named_parameters()}
    gaps, penalties = [], 0
    for _ in range(2 * EVERY + 1):
        clean = torch.rand(2, 3, 256, 256, generator=chance)
        drawn = torch.full_like(clean, 0.5, requires_grad=True)
        numbers = adversary.pull(drawn * 1.0, clean)
        gaps.append(float(numbers["gap"]))
        penalties += "penalty" in numbers
    assert gaps[-1] > gaps[0] and penalties == 3
    # The last biases alone are the same for real and drawn, and cancel out.
    learnt = [name for name, p in adversary.critics.named_parameters() if not torch.equal(before[name], p)]
    assert {name for name in before if name.endswith("weight")} <= set(learnt)
    assert all(p.requires_grad for p in adversary.critics.parameters())
