"""Joint tuning: who learns, and what the adversary adds to the gradient."""

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")
pytest.importorskip("lpips")
from resemblance.core.models.restorer import ResemblanceNet
from resemblance.core.models.transfer import TransferNet
from resemblance.core.training.adversary import PATCH, Critic, corners
from resemblance.core.training.joint import ALONE, SHARE, Adversary, trained_parts


def test_only_what_draws_learns():
    net, transfer = ResemblanceNet(), TransferNet()
    trained_parts(net, transfer)
    learning = {name for name, p in [*net.named_parameters(), *transfer.named_parameters()] if p.requires_grad}
    assert {name.split(".")[0] for name in learning} == {"decoder", "fusions", "bands"}


def test_the_adversary_is_a_set_share_of_the_gradient_and_only_at_its_patches():
    torch.manual_seed(0)
    critic = Critic(8)
    clean, drawn = torch.rand(2, 3, 256, 256), torch.rand(2, 3, 256, 256, requires_grad=True)
    seen = drawn * 1.0

    def gradient(part):
        y = drawn * 1.0
        value, _ = Adversary(critic, np.random.default_rng(1))(y, clean, (1, 2), part)
        drawn.grad = None
        ((y * y).sum() + value).backward()
        return drawn.grad.clone()

    plain = 2 * seen.detach()
    torch.testing.assert_close(gradient(ALONE / 2), plain)
    added = gradient(0.5) - plain
    row, column = corners(np.random.default_rng(1), 256)[0]
    patch = (..., slice(row, row + PATCH), slice(column, column + PATCH))
    outside = added.clone()
    outside[patch] = 0
    assert outside.abs().max() < 1e-5
    torch.testing.assert_close(added.norm(), SHARE * plain[patch].norm(), rtol=1e-3, atol=0)


def test_the_critic_alone_learns_from_its_own_loss():
    torch.manual_seed(0)
    critic = Critic(8)
    y = torch.rand(1, 3, 256, 256, requires_grad=True) * 1.0
    y.retain_grad()
    value, numbers = Adversary(critic, np.random.default_rng(1))(y, torch.rand(1, 3, 256, 256), (0, 0), 0.5)
    value.backward()
    assert y.grad is None
    weights = [
        p for name, p in critic.named_parameters() if name.endswith("weight")
    ]  # real and fake pull even at biases
    assert len(weights) == 5 and all(p.grad is not None and p.grad.any() for p in weights)
    assert numbers["critic"] == pytest.approx(2 - numbers["real"] + numbers["fake"], abs=0.1)  # while both are small
