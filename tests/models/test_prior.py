"""The prior: its sizes, what it reads, and the equations at its head by hand."""

import numpy as np
import pytest
import torch
from resemblance.core.faces.crop import face_mask
from resemblance.core.models.prior import Prior, PriorConfig, given_by
from resemblance.core.records import ReferenceFeatures
from resemblance.core.training.latents import open_latents, read_latents
from resemblance.core.training.mask import Mask
from resemblance.core.training.refine_table import gradient_energy

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


def test_latents_are_read_as_they_were_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"training\.latents"):
        open_latents(tmp_path)
    generator = torch.Generator().manual_seed(2)
    numbers = torch.randn(3, 385, 32, 32, generator=generator).bfloat16()
    codes = torch.randint(1024, (3, 1024), generator=generator)
    planes = np.concatenate(
        [numbers.view(torch.int16).numpy(), codes.view(3, 1, 32, 32).short().numpy()], 1, dtype=np.int16
    )
    # A run that was stopped in the middle of a sample leaves part of it.
    (tmp_path / "latents.i16").write_bytes(planes.tobytes() + bytes(100))
    samples = open_latents(tmp_path)
    assert len(samples) == 3
    read = read_latents(samples[1:])
    assert torch.equal(torch.cat([read.degraded, read.clean, read.given], 1), numbers[1:].float())
    assert torch.equal(read.codes, codes[1:])


def test_the_mask_meets_both_ends_and_is_the_same_on_both_sides():
    mask = Mask(4)
    assert torch.equal(mask(), torch.full((1, 1, 4, 4), 0.5))
    with torch.no_grad():
        mask.logits[0, 0, 0] = -20
        mask.logits[0, 0, 1] = 20
        mask.logits[0, 0, 2, 0] = 1
    assert not mask()[0, 0, 0].any()
    assert (mask()[0, 0, 1] == 1).all()
    # 1.2·sigmoid(1/2) - 0.1
    assert mask()[0, 0, 2].tolist() == pytest.approx([0.646951, 0.5, 0.5, 0.646951], abs=1e-5)


def test_gradient_energy_of_a_ramp():
    ramp = torch.arange(512.0).expand(1, 3, 512, 512) / 10
    assert gradient_energy(torch.cat([ramp, 2 * ramp])).tolist() == pytest.approx([0.01, 0.04], rel=1e-3)
    # What lies beside the face does not count.
    noisy = torch.where(face_mask()[None] > 0, ramp, torch.rand(1, 3, 512, 512))
    assert float(gradient_energy(noisy)[0]) == pytest.approx(0.01, rel=0.1)
