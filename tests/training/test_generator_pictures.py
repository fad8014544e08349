"""What comes through to the picture."""

import argparse

import numpy as np
import pytest
import torch
from resemblance.core.models.generative import GenerativeTokens
from resemblance.core.models.restorer import RestorerConfig
from resemblance.core.models.style_head import StyleConfig
from resemblance.core.training import generator_pictures
from resemblance.core.training.components import parts
from resemblance.core.training.generator_basis import SIDE, make_basis, one_style
from resemblance.core.training.generator_pictures import PictureLoss, grown, pixel_loss, seen_anew
from resemblance.core.training.truths import Shown
from stand_ins import Plain, small_generator
from torch.nn import functional as F

SIZES = RestorerConfig((4, 8, 8), 1, (1, 1, 1), latent=4, codes=16, dim=32, layers=1, heads=1, size=512)
STYLE = StyleConfig(latent=4, features=8, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16)


@pytest.fixture(scope="module")
def generator():
    return small_generator()


@pytest.fixture(scope="module")
def basis(generator):
    return make_basis(generator, range(100, 108), 4, 16, 300)


@pytest.fixture
def net(generator, basis):
    torch.manual_seed(0)
    tokens = GenerativeTokens(SIZES, STYLE)
    with torch.no_grad():
        tokens.embedding.copy_(basis.codebook)
        tokens.style.mean.copy_(basis.style_mean)
        tokens.style.axes.copy_(basis.style_components)
    return grown(tokens, generator, basis)


@torch.no_grad()
def test_latent_and_style_of_a_drawn_face_draw_it_again(generator, basis, net):
    w = generator.people([102])
    features = generator.synthesis.features(one_style(w), SIDE)
    latents = basis.to_latent(features)
    expected = generator.synthesis.finish(basis.to_features(latents), one_style(w))
    y, mask = net.decoder(latents, w, [], 0.0)
    assert mask is None and y.shape == (1, 3, 512, 512)
    assert expected.std() > 1e-3
    assert torch.allclose(y, expected, atol=1e-3 * float(expected.abs().max()))


def test_the_generators_layers_are_frozen_and_the_others_learn(net):
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    kinds = {".".join(name.split(".")[:2]) for name in frozen}
    layers = {f"decoder.{part}" for part in ("stem", "layers", "to_img", "img")}
    assert kinds == layers | {"embedding", "style.direct"}
    assert all(p.requires_grad for part in (net.decoder.transforms, net.decoder.mask) for p in part.parameters())


def test_parts_are_eyes_and_mouth():
    face = torch.zeros(1, 3, 512, 512)
    for x, y in ((193, 240), (319, 240), (257, 371)):
        face[..., y, x] = 1
    squares = parts(face)
    assert squares.shape == (3, 3, 128, 128)
    assert (squares[..., 62:67, 62:67].amax((1, 2, 3)) == 1).all()


def test_pixels_count_only_where_the_truth_is_sharp():
    clean = torch.rand(3, 3, 64, 64)
    fine = torch.ones(64).view(-1)
    fine[::2] = -1
    y = clean + 0.1 * fine  # vanishes at half the size
    sizes = torch.tensor([1, 2, 4])
    assert pixel_loss(y[:1], clean[:1], sizes[:1]).item() == pytest.approx(0.1, abs=1e-5)
    assert pixel_loss(y[1:], clean[1:], sizes[1:]).item() == pytest.approx(0, abs=1e-5)
    coarse = clean + 0.1
    assert pixel_loss(coarse[2:], clean[2:], sizes[2:]).item() == pytest.approx(0.2, abs=1e-5)
    assert pixel_loss(coarse[:1], clean[:1], sizes[:1]).item() == pytest.approx(0.4, abs=1e-5)


def test_faces_are_mirrored_and_moved_together():
    a = torch.rand(1, 3, 256, 256)
    moved = [seen_anew(np.random.default_rng(i), a, 2 * a) for i in range(12)]
    for x, y in moved:
        assert x.shape == a.shape and torch.equal(2 * x, y)
    mirrored = [F.l1_loss(x, a.flip(3)) < F.l1_loss(x, a) for x, _ in moved if not torch.equal(x, a)]
    assert len({round(float(x.mean()), 6) for x, _ in moved}) > 6 and mirrored


@pytest.mark.parametrize("square", [None, (4, 10)])
def test_gradients_reach_all_that_learns(basis, net, monkeypatch, square):
    monkeypatch.setattr(generator_pictures, "lpips", lambda *_: Plain())
    monkeypatch.setattr(generator_pictures, "Recognizer", lambda *_: Plain())
    monkeypatch.setattr(generator_pictures, "NEAREST", 0.0)
    for parameter in net.parameters():
        if not parameter.any():  # what starts at zero keeps gradients from what lies before it
            torch.nn.init.normal_(parameter, std=0.01)
    options = argparse.Namespace(assets=None, device="cpu", seed=1)
    loss = PictureLoss(net.train(), basis, options, 0)
    known = torch.tensor([True, False])
    clean = torch.rand(2, 3, 512, 512)
    batch = Shown(clean / 2, clean, torch.tensor([1, 2]), torch.randn(2, 4, 32, 32), torch.randn(2, 512), known, square)
    value, numbers = loss(batch, 0.0)
    value.backward()
    assert value.isfinite() and {"z", "w", "mask"} <= set(numbers)
    assert ("identity" in numbers) == (square is None) and ("parts" in numbers) == (square is None)
    silent = [name for name, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert silent == []
