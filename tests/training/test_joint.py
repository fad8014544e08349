"""Joint tuning: who learns, and what the adversary adds to the gradient."""

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")
pytest.importorskip("lpips")
from resemblance.core.geometry import template
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.models.transfer import TransferNet
from resemblance.core.training.joint import (
    ALONE,
    PATCH,
    SHARE,
    Adversary,
    Critic,
    corners,
    trained_parts,
)
from resemblance.core.training.restoration import grown, shifted


def test_only_what_draws_learns():
    net, transfer = ResemblanceNet(), TransferNet()
    trained_parts(net, transfer)
    learning = {name for name, p in [*net.named_parameters(), *transfer.named_parameters()] if p.requires_grad}
    assert {name.split(".")[0] for name in learning} == {"decoder", "fusions", "bands"}


def test_patches_lie_on_eyes_and_mouth_and_inside():
    left, right, _, one, other = template(512).numpy()
    for seed in range(50):
        spots = corners(np.random.default_rng(seed), 512)
        assert len(spots) == 4
        assert all(0 <= v <= 512 - PATCH for spot in spots for v in spot)
        for (row, column), (x, y) in zip(spots[1:], (left, right, (one + other) / 2), strict=True):
            assert row < y < row + PATCH and column < x < column + PATCH
    assert len(corners(np.random.default_rng(0), 256)) == 1


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


def test_a_deeper_network_starts_as_the_shallow_one():
    shallow = ResemblanceNet(RestorerConfig(encoder_blocks=1, decoder_blocks=(1, 1, 1))).eval()
    deep = grown(shallow.state_dict()).eval()
    face = torch.rand(1, 3, 512, 512)
    for net in (shallow, deep):
        content, skips = net.encode(face)
        net.seen = content, net.decode(content, content, skips)
    assert torch.equal(shallow.seen[0], deep.seen[0])
    torch.testing.assert_close(shallow.seen[1], deep.seen[1])
    state = shallow.state_dict()
    del state["gate.0.weight"]
    with pytest.raises(ValueError, match=r"gate\.0\.weight"):
        grown(state)


def test_shifting_cuts_all_pictures_alike():
    x = torch.arange(16.0 * 16).view(1, 1, 16, 16)
    for seed in range(10):
        a, b = shifted(np.random.default_rng(seed), x, x + 1)
        assert torch.equal(a + 1, b) and a[0, 0, -1, -1] == x[0, 0, -1, -1]
        assert 8 < a.shape[-1] <= 16 and 8 < a.shape[-2] <= 16
