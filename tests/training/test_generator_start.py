import pytest
import torch
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.training.generator_basis import SIDE, Basis
from resemblance.core.training.generator_start import begin

SIZES = RestorerConfig((8, 8, 8), 1, (1, 1, 1), latent=8, codes=16, dim=32, layers=1, heads=1, size=512)


@pytest.fixture(scope="module")
def basis():
    chance = torch.Generator().manual_seed(0)
    axes, _ = torch.linalg.qr(torch.randn(20, 20, generator=chance))
    return Basis(
        torch.randn(20, generator=chance),
        axes[:8],
        torch.linspace(2, 0.5, 8),
        torch.randn(8, SIDE, SIDE, generator=chance),
        torch.linspace(1.5, 0.5, 8),
        torch.randn(16, 8, generator=chance),
        torch.randn(12, generator=chance),
        torch.eye(12)[:6],
        torch.linspace(2, 1, 6),
    )


def test_the_start_tells_the_latent_that_a_linear_map_tells(basis):
    """Latents that are a linear map of what the shipped encoder sees are told exactly, mean face and all."""
    torch.manual_seed(0)
    shipped = ResemblanceNet(SIZES).requires_grad_(False)
    damaged = torch.rand(8, 3, 512, 512)
    with torch.no_grad():
        _, features = shipped.encoder(damaged * 2 - 1)
        seen = torch.relu(features[-1])
        latents = torch.einsum("ab,nbyx->nayx", torch.randn(8, 8), seen)
        basis = Basis(**{**basis.tensors(), "face": latents.mean(0)})
        net = begin(shipped, basis, damaged, latents)
        h, _ = net.encode(damaged)
    left = (h - latents).square().sum() / (latents - latents.mean(0)).square().sum()
    assert left < 0.05
    with torch.no_grad():
        logits = net.predict(h)
    assert logits.isfinite().all() and logits.std() > 0
