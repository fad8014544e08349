"""The latent that is made of a generator's features."""

import numpy as np
import pytest
import torch
from resemblance.core.training.generator_basis import (
    FILE,
    features_of,
    make_basis,
    one_style,
    picture,
    principal,
    read_basis,
)
from safetensors.torch import save_file
from stand_ins import small_generator

PEOPLE = range(100, 112)


@pytest.fixture(scope="module")
def generator():
    return small_generator()


@pytest.fixture(scope="module")
def basis(generator):
    return make_basis(generator, PEOPLE, components=4, codes=16, styled=300)


def test_components_are_those_of_the_features(generator, basis):
    """Against NumPy's singular values of all features at once."""
    points = features_of(generator, PEOPLE).float().movedim(1, 3).reshape(-1, 8).numpy().astype(np.float64)
    mean = points.mean(0)
    _, _, axes = np.linalg.svd(points - mean, full_matrices=False)
    assert np.abs(basis.mean.numpy() - mean).max() < 1e-3 * np.abs(mean).max()
    assert np.abs(np.abs((axes[:4] * basis.components.numpy()).sum(1)) - 1).max() < 1e-3


def test_latents_have_unit_variance_in_the_mean_and_come_back(generator, basis):
    features = features_of(generator, PEOPLE).float()
    latents = basis.to_latent(features)
    spread = latents.var((0, 2, 3))
    assert spread.mean().item() == pytest.approx(1, abs=0.01)
    assert (spread.diff() < 0).all()  # the strong ones count for more
    assert torch.allclose(latents.mean(0), basis.face, atol=1e-3)
    assert torch.allclose((latents - basis.face).square().mean((0, 2, 3)), basis.variance, rtol=1e-2)
    again = basis.to_latent(basis.to_features(latents))
    assert torch.allclose(again, latents, atol=1e-3)
    lost = (basis.to_features(latents) - features).square().sum() / (
        features - features.mean((0, 2, 3), True)
    ).square().sum()
    assert 0 < lost < 0.5


def test_code_words_are_nearer_than_the_mean(generator, basis):
    latents = basis.to_latent(features_of(generator, PEOPLE))
    words = basis.words(basis.codes(latents))
    assert words.shape == latents.shape
    assert (words - latents).square().mean() < 0.5 * (latents - latents.mean((0, 2, 3), True)).square().mean()
    place = latents[3, :, 5, 7]
    assert torch.equal(words[3, :, 5, 7], basis.codebook[(basis.codebook - place).square().sum(1).argmin()])


def test_the_style_axes_hold_the_styles_of_others(generator, basis):
    w = generator.people(range(5000, 5050)) - basis.style_mean
    along = w @ basis.style_components.T
    assert along.square().sum() > 0.6 * w.square().sum()  # half as many axes as numbers; chance would have .5
    assert torch.allclose(along.std(0)[:5] / basis.style_scale[:5], torch.ones(5), atol=0.5)


def test_the_same_seeds_give_the_same_basis_and_it_is_read_back(generator, basis, tmp_path):
    save_file(basis.tensors(), tmp_path / FILE)
    assert read_basis(tmp_path).fingerprint == basis.fingerprint
    assert make_basis(generator, PEOPLE, 4, 16, 300).fingerprint == basis.fingerprint
    with pytest.raises(FileNotFoundError, match="generator_basis --work"):
        read_basis(tmp_path / "elsewhere")


def test_the_picture_begins_with_the_face_as_drawn(generator, basis):
    grid = picture(generator, basis, range(7, 8))
    face = generator(one_style(generator.people([7])))[0] / 2 + 0.5
    expected = (face.clamp(0, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    assert grid.shape == (512, 5 * 512, 3)
    assert np.abs(grid[:, :512].astype(int) - expected).max() <= 1


def test_principal_axes_of_a_known_covariance():
    turn, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    axes, variances = principal(turn @ torch.diag(torch.tensor([1.0, 9, 4, 0.1, 16]).double()) @ turn.T, 3)
    assert torch.allclose(variances, torch.tensor([16.0, 9, 4]))
    assert torch.allclose((axes.double() @ turn).abs(), torch.eye(5, dtype=torch.float64)[[4, 1, 2]], atol=1e-6)
