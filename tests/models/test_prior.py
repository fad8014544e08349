"""The prior: its sizes, what it reads, and the equations at its head by hand."""

import pytest
import torch
from resemblance.core.models.prior import Prior, PriorConfig, given_by
from resemblance.core.records import ReferenceFeatures

TINY = PriorConfig(latent=8, side=4, dim=32, layers=2, heads=1)


@pytest.fixture
def prior() -> Prior:
    torch.manual_seed(0)
    prior = Prior(TINY).eval().requires_grad_(False)
    torch.nn.init.normal_(prior.out.weight, 0, 0.1)
    prior.mean.normal_()
    prior.spread.uniform_(0.5, 2)
    return prior


def latents(count: int, channels: int = 8) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, channels, 4, 4, generator=generator) for _ in range(count)]


def test_sizes_are_read_off_the_weights_and_are_as_planned():
    assert PriorConfig.from_state(Prior(TINY).state_dict()) == TINY
    whole = Prior()
    assert PriorConfig.from_state(whole.state_dict()) == PriorConfig()
    assert 3.0e6 < sum(p.numel() for p in whole.parameters()) < 3.6e6


def test_untrained_it_stands_still(prior):
    x, h, q = latents(3)
    fresh = Prior(TINY)
    _, condition = fresh.start(h, q, torch.ones(2, 1, 4, 4), None)
    assert not fresh(x, torch.tensor([0.0, 0.5]), condition).any()


def test_the_start_is_the_gated_mix_normalised_by_channel(prior):
    h, q, r = latents(3)
    gate, taken = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    begin, condition = prior.start(h, q, gate, torch.cat([r * taken, taken], 1))
    for c in range(8):
        mean, spread = prior.mean[0, c], prior.spread[0, c]
        mixed = gate[:, 0] * q[:, c] + (1 - gate[:, 0]) * h[:, c]
        assert torch.allclose(begin[:, c], (mixed - mean) / spread, atol=1e-5)
        assert torch.allclose(condition[:, c], (h[:, c] - mean) / spread, atol=1e-5)
        assert torch.allclose(condition[:, 8 + c], (q[:, c] - mean) / spread, atol=1e-5)
        assert torch.allclose(condition[:, 16 + c], taken[:, 0] * (r[:, c] - mean) / spread, atol=1e-5)
    assert torch.equal(condition[:, 24:], taken)
    _, alone = prior.start(h, q, gate, None)
    assert not alone[:, 16:].any()


def test_normalising_is_undone(prior):
    (h,) = latents(1)
    assert torch.allclose(prior.restore(prior.normalise(h)), h, atol=1e-5)


@pytest.mark.parametrize("first", [0, 8, 16, 24])
def test_velocity_depends_on_every_condition_at_every_place(prior, first):
    x, h, q, r = latents(4)
    _, condition = prior.start(h, q, torch.ones(2, 1, 4, 4), torch.cat([r, torch.ones(2, 1, 4, 4)], 1))
    other = condition.clone()
    other[:, first, 3, 3] += 1
    t = torch.full((2,), 0.5)
    moved = (prior(x, t, condition) - prior(x, t, other)).abs().sum(1)
    assert (moved > 0).all()


def test_velocity_depends_on_the_time_of_each_face(prior):
    x, h, q = latents(3)
    _, condition = prior.start(h, q, torch.ones(2, 1, 4, 4), None)
    at_start, mixed = (prior(x, torch.tensor(t), condition) for t in ([0.0, 0.0], [0.0, 0.9]))
    assert torch.allclose(at_start[0], mixed[0], atol=1e-6)
    assert not torch.allclose(at_start[1], mixed[1], atol=1e-4)


def test_what_references_gave_is_their_latent_times_the_gate():
    latent = torch.arange(8.0).view(1, -1, 1, 1).repeat(1, 1, 4, 4)
    none = torch.zeros(1)
    gates = {4: torch.full((1, 1, 4, 4), 0.5), 8: torch.ones(1, 1, 8, 8)}
    given = given_by(ReferenceFeatures({}, latent, {}, {}, gates, none, none), torch.zeros(1, 8, 4, 4))
    assert given[0, :, 2, 1].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 0.5]
