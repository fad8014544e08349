from __future__ import annotations

import torch
from resemblance.core.models.correspondence import Correspondence, warp


def test_warp_reads_each_place_where_the_flow_says() -> None:
    picture = torch.arange(64.0).view(1, 1, 8, 8)
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0], flow[:, 1] = 2 / 8, -2 / 8  # one pixel to the right, one up
    seen = warp(picture, flow)
    torch.testing.assert_close(seen[0, 0, 1:, :-1], picture[0, 0, :-1, 1:], rtol=0, atol=1e-3)


def test_where_nothing_differs_the_flow_stays_at_the_same_place() -> None:
    torch.manual_seed(0)
    net = Correspondence(8, 6, 4, dim=8)
    flat = torch.ones(1, 8, 32, 32), torch.ones(1, 4, 32, 32)
    fine = torch.randn(1, 6, 64, 64)
    found = net((*flat, torch.randn(1, 4, 32, 32)), (flat[0][:, None], flat[1][:, None]), (fine, fine[:, None]))
    assert found.flow.shape == (1, 1, 2, 64, 64)
    middle = found.flow[..., 20:44, 20:44]  # at the borders the attention is cut off on one side
    assert float(middle.abs().max()) < 0.01


def test_the_flow_finds_what_was_moved() -> None:
    """Features that differ everywhere, moved by two places of 32: the attention must say so before any training."""
    torch.manual_seed(0)
    net = Correspondence(8, 6, 4, dim=8)
    features, latent = torch.randn(1, 8, 32, 32), torch.randn(1, 4, 32, 32)
    with torch.no_grad():
        net.sharpness.fill_(5.0)
    moved = features.roll(2, 3), latent.roll(2, 3)  # what was at x is now at x + 2
    fine = torch.zeros(1, 6, 64, 64)
    found = net((features, latent, torch.zeros(1, 4, 32, 32)), tuple(x[:, None] for x in moved), (fine, fine[:, None]))
    middle = found.flow[0, 0, :, 16:48, 16:48]
    torch.testing.assert_close(middle[0].mean(), torch.tensor(2 * 2 / 32), rtol=0.1, atol=0)
    assert float(middle[1].abs().mean()) < 0.02
