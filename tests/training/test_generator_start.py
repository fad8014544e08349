import pytest
import torch
from resemblance.core.models.restorer import ResemblanceNet
from resemblance.core.training.generator_basis import Basis
from resemblance.core.training.generator_start import begin
from stand_ins import SIZES, small_basis


@pytest.fixture(scope="module")
def basis():
    return small_basis()


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
