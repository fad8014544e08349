"""The loss on whole faces."""

import pytest
import torch
from resemblance.core.models.generative import GenerativeTokens
from resemblance.core.models.restorer import RestorerConfig
from resemblance.core.models.style_head import StyleConfig
from resemblance.core.training import generator_pictures, whole_loss
from resemblance.core.training.device_pack import Networks
from resemblance.core.training.device_truths import Counts, DeviceBatch
from resemblance.core.training.generator_basis import SIDE, make_basis
from resemblance.core.training.generator_latents import Shares
from resemblance.core.training.generator_pictures import Told, grown
from resemblance.core.training.whole_loss import WholeLoss
from stand_ins import Plain, small_generator

SIZES = RestorerConfig((4, 8, 8), 1, (1, 1, 1), latent=4, codes=16, dim=32, layers=1, heads=1, size=512)
STYLE = StyleConfig(latent=4, features=8, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16)
COUNTS = Counts(2, 1, 1, 1)


@pytest.fixture(scope="module")
def generator():
    return small_generator()


@pytest.fixture(scope="module")
def basis(generator):
    return make_basis(generator, range(100, 108), 4, 16, 300)


@pytest.fixture
def loss(generator, basis, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(generator_pictures, "NEAREST", 0.0)
    tokens = GenerativeTokens(SIZES, STYLE)
    with torch.no_grad():
        tokens.embedding.copy_(basis.codebook)
        tokens.style.mean.copy_(basis.style_mean)
        tokens.style.axes.copy_(basis.style_components)
    net = grown(tokens, generator, basis).requires_grad_(True)
    for parameter in net.parameters():
        if not parameter.any():  # what starts at zero keeps gradients from what lies before it
            torch.nn.init.normal_(parameter, std=0.01)
    return WholeLoss(net.train(), Networks(generator, basis, tokens, Plain(), Plain(), Plain()), 1)


def some_batch(plain=(1.0, 1.0)):
    chance = torch.Generator().manual_seed(5)
    clean = torch.rand(COUNTS.all, 3, 512, 512, generator=chance)
    latents, styles = torch.randn(2, 4, SIDE, SIDE, generator=chance), torch.randn(2, 512, generator=chance)
    return DeviceBatch(clean / 2, clean, latents, styles, torch.tensor(plain), COUNTS)


def test_gradients_reach_all_that_learns(loss):
    value, numbers, y = loss(some_batch(), 0.0)
    value.backward()
    assert value.isfinite() and y.shape == (5, 3, 512, 512)
    assert {"h", "z", "ce", "w", "pixel", "lpips", "detail", "parts", "identity"} <= set(numbers)
    assert not any(number.requires_grad for number in numbers.values())
    silent = [name for name, p in loss.net.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == ["embedding"] or silent == []


def test_latents_count_less_and_less(loss):
    counted = []
    for part in (0.0, whole_loss.LEARNT / 2, whole_loss.LEARNT, 1.0):
        h, logits = torch.randn(5, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(0)), torch.zeros(5, 1024, 16)
        learnt = min(1.0, part / whole_loss.LEARNT)
        value, _ = loss._told(some_batch(), Told(h, h, h, logits, [], torch.zeros(5, 512), 1.0), learnt)
        counted.append(float(value))
    assert counted[0] > counted[1] > counted[2] == counted[3] > 0


def test_a_face_of_other_tones_says_nothing_of_latents(loss):
    h, w = torch.randn(5, 4, SIDE, SIDE), torch.randn(5, 512)
    told = Told(h, h, h, torch.randn(5, 1024, 16), [], w, 1.0)
    one, _ = loss._told(some_batch((1.0, 0.0)), told, 0.0)
    batch = some_batch((1.0, 0.0))
    batch.latents[1] += 100
    batch.styles[1] += 100
    same, _ = loss._told(batch, told, 0.0)
    assert torch.allclose(one, same)
    none, _ = loss._told(some_batch((0.0, 0.0)), told, 0.0)
    assert float(none) == 0


def test_the_error_of_a_latent_is_that_of_the_other_program(loss, basis):
    told, latents = torch.randn(2, 4, SIDE, SIDE), torch.randn(2, 4, SIDE, SIDE)
    expected = Shares(basis, "cpu").of_both(told, latents)
    assert torch.allclose(loss._latent_errors(told, latents).mean(), expected)


def test_photographs_count_where_they_are_sharp(loss):
    clean = some_batch().clean
    fine = torch.ones(512)
    fine[::2] = -1
    plain, _ = loss._seen(clean, clean, COUNTS)
    assert float(plain) == pytest.approx(0, abs=1e-5)
    for row, blamed in ((0, True), (2, True), (3, False), (4, False)):
        y = clean.clone()
        y[row] += 0.1 * fine  # vanishes at half the size
        _, numbers = loss._seen(y, clean, COUNTS)
        assert (float(numbers["pixel"]) > 0.01) == blamed
