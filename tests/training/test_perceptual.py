"""LPIPS rebuilt."""

import pytest
import torch
from resemblance.core.training.perceptual import Perceptual, packed


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_is_equal_to_the_package(assets, net):
    pytest.importorskip("lpips")
    from resemblance.core.training.judges import lpips

    metric = lpips(net, assets)
    chance = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 80, 96, generator=chance)
    y = (x + 0.1 * torch.randn(x.shape, generator=chance)).clamp(0, 1)
    rebuilt = Perceptual(net, packed(net, metric))
    assert torch.allclose(rebuilt(x, y), metric(x, y), rtol=1e-4)
    assert (rebuilt(x, x) == 0).all()


def test_a_trunk_may_end_early_and_has_gradients():
    torch.manual_seed(0)
    state = {"conv0.weight": torch.randn(4, 3, 3, 3), "conv0.bias": torch.zeros(4)}
    state |= {"conv1.weight": torch.randn(4, 4, 3, 3), "conv1.bias": torch.zeros(4), "lin0.weight": torch.rand(4)}
    metric = Perceptual("vgg", state)
    x, y = torch.rand(1, 3, 16, 16, requires_grad=True), torch.rand(1, 3, 16, 16)
    assert [f.shape for f in metric.features(y)] == [(1, 4, 16, 16)]
    metric(x, y).sum().backward()
    assert x.grad.any() and not list(metric.parameters())
    black = torch.full((1, 3, 16, 16), -1e9)  # no feature at all
    leaf = x.detach().requires_grad_(True)
    metric(leaf * 0, black).sum().backward()
    assert leaf.grad.isfinite().all()
