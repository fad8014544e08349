"""Learning what was drawn from damaged faces, without a picture."""

import numpy as np
import pytest
import torch
from resemblance.core.models.generative import GenerativeTokens
from resemblance.core.models.style_head import StyleConfig
from resemblance.core.training.drawn import Drawn
from resemblance.core.training.generator_basis import SIDE
from resemblance.core.training.generator_latents import (
    HELD,
    LatentLoss,
    Shares,
    imagined,
    known_batch,
    measure,
    write_row,
)
from stand_ins import SIZES, small_basis

STYLE = StyleConfig(
    latent=8, features=8, side=32, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16, axes=6, style=12
)


@pytest.fixture(scope="module")
def basis():
    return small_basis()


class People:
    """A generator: styles by numbers, and features that a style shifts."""

    def __init__(self, basis):
        self.basis = basis
        self.synthesis = self

    def people(self, numbers):
        rows = [torch.randn(12, generator=torch.Generator().manual_seed(int(n))) for n in numbers]
        return self.basis.style_mean + torch.stack(rows)

    def features(self, styles, side):
        w = styles[:, 0, :, None, None] - self.basis.style_mean[:, None, None]
        latents = self.basis.face.repeat(len(w), 1, 1, 1)
        latents[:, :6] += w[:, :6]
        return self.basis.to_features(latents)


class Faces:
    """Drawn people: brightness tells the style's first number."""

    def __init__(self, basis, count=50):
        self.people = People(basis)
        self.basis, self.count = basis, count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        w = self.people.people([i])
        latent = self.basis.to_latent(self.people.features(w[:, None], SIDE))[0]
        grey = int(np.clip(127 + 40 * float(w[0, 0] - self.basis.style_mean[0]), 0, 255))
        return Drawn(np.full((512, 512, 3), grey, np.uint8), latent, w[0])


def network(basis):
    torch.manual_seed(0)
    net = GenerativeTokens(SIZES, STYLE)
    with torch.no_grad():
        net.embedding.copy_(basis.codebook)
        net.style.mean.copy_(basis.style_mean)
        net.style.axes.copy_(basis.style_components * basis.style_scale[:, None])
    return net


def test_the_mean_face_leaves_all_and_the_truth_nothing(basis):
    shares = Shares(basis, "cpu")
    chance = torch.Generator().manual_seed(1)
    off = torch.randn(500, 8, SIDE, SIDE, generator=chance) * basis.variance.sqrt()[:, None, None]
    latents = basis.face + off
    for share in (shares.of_features, shares.of_latents, shares.of_both):
        assert share(basis.face.expand_as(latents), latents).item() == pytest.approx(1, abs=0.02)
        assert share(latents, latents).item() == 0
        assert share(basis.face + 0.5 * off, latents).item() == pytest.approx(0.25, abs=0.01)
    lost = latents.clone()
    lost[:, 0] = basis.face[0]  # the first component: as much of the features as its power says
    power = basis.scale.square() * basis.variance
    assert shares.of_features(lost, latents).item() == pytest.approx(float(power[0] / power.sum()), abs=0.01)
    w = basis.style_mean + torch.randn(4000, 6, generator=chance) * basis.style_scale @ basis.style_components
    assert shares.of_styles(basis.style_mean.expand_as(w), w).mean().item() == pytest.approx(1, abs=0.05)


def test_a_batch_knows_latent_and_style_of_each_face_and_damages_it(basis):
    faces = Faces(basis)
    batch = known_batch(faces, np.random.default_rng(0), 6)
    again = known_batch(faces, np.random.default_rng(0), 6)
    assert len(batch) == 6 and batch.damaged.shape == (6, 3, 512, 512)
    assert torch.equal(batch.damaged, again.damaged)
    known = {tuple(faces[i].style.tolist()): faces[i].latent for i in range(50)}
    for latent, w in zip(batch.latents, batch.styles, strict=True):
        assert torch.equal(known[tuple(w.tolist())], latent)
    many = known_batch(faces, np.random.default_rng(1), 40).coloured
    assert 0.6 < many.float().mean() < 0.95  # a fifth is grey, sepia or faded


def test_imagined_latents_lie_between_the_mean_face_and_a_person(basis):
    people = People(basis)
    uncertain, w = imagined(people, basis, np.random.default_rng(0), 8)
    clean = basis.to_latent(people.features(w[:, None], SIDE)) - basis.face
    off = uncertain - basis.face
    along = (off * clean).sum((1, 2, 3)) / clean.square().sum((1, 2, 3))
    assert (along > 0.1).all() and (along < 1.8).all()  # shrunk, and something of another mixed in
    assert 0.4 < along.mean() < 1.1
    assert not torch.allclose(off, clean, atol=0.1)


def test_it_learns_and_is_measured_on_those_held_out(basis):
    """Brightness tells one number of six of the style, and all of the latent that it shifts."""
    net, faces = network(basis), Faces(basis)
    before = measure(net.eval(), basis, faces, 4)
    assert set(before) == {f"{s} {n}" for s in ("moderate", "severe") for n in ("h", "soft", "z", "w")}
    assert before["severe w"] == pytest.approx(1, abs=1e-5)
    loss = LatentLoss(net.train(), basis, People(basis), seed=0, step=0)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    values = []
    for i in range(25):
        value, numbers = loss(known_batch(faces, np.random.default_rng(i), 2), 0.0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert set(numbers) == {"h", "soft", "z", "ce", "w", "imagined"}
    assert np.mean(values[-8:]) < np.mean(values[:8]) - 0.3
    after = measure(net.eval(), basis, faces, 4)
    assert after["severe z"] < before["severe z"]
    assert HELD <= 100


def test_the_style_head_may_be_left_alone(basis):
    net = network(basis).train()
    value, numbers = LatentLoss(net, basis, None, seed=0, step=0)(
        known_batch(Faces(basis), np.random.default_rng(0), 2), 0.0
    )
    value.backward()
    assert set(numbers) == {"h", "soft", "z", "ce"}
    assert all(p.grad is None for p in net.style.parameters())
    assert net.transformer.head.weight.grad.any() and net.encoder.out.weight.grad.any() and net.place.grad.any()


def test_numbers_are_appended_to_a_table(tmp_path):
    path = tmp_path / "numbers.csv"
    write_row(path, {"a": 1.0, "b": 0.25})
    write_row(path, {"a": 2.0, "b": 0.5})
    assert path.read_text().split() == ["a,b", "1.0000,0.2500", "2.0000,0.5000"]
