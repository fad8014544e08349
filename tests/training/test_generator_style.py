"""The linear part of the style head, fitted."""

import numpy as np
import pytest
import torch
from resemblance.core.models.generative import GenerativeTokens
from resemblance.core.models.restorer import RestorerConfig
from resemblance.core.models.style_head import StyleConfig, coarse
from resemblance.core.training import generator_style
from resemblance.core.training.drawn import Drawn
from resemblance.core.training.generator_style import Rows, dual_ridge, fit, rows_of

SIZES = RestorerConfig((8, 8, 8), 1, (1, 1, 1), latent=8, codes=16, dim=32, layers=1, heads=1, size=128)
STYLE = StyleConfig(
    latent=8, features=8, side=8, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16, axes=6, style=12
)


def test_the_dual_equals_ridge_regression():
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(30, 50, generator=chance, dtype=torch.float64)
    y = x[:, :3] + 0.1 * torch.randn(30, 3, generator=chance, dtype=torch.float64)
    weight, bias, _ = dual_ridge(x, y, torch.arange(30) % 5 == 0, (0.5,))
    centred = x - x.mean(0)
    penalty = 0.5 * centred.square().sum(1).mean()
    expected = torch.linalg.solve(
        centred.T @ centred + penalty * torch.eye(50, dtype=torch.float64), centred.T @ (y - y.mean(0))
    ).T
    assert torch.allclose(weight, expected, atol=1e-6)
    assert torch.allclose(bias, y.mean(0) - expected @ x.mean(0), atol=1e-6)


def test_people_left_out_choose_the_strength():
    chance = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(200, n, generator=chance) for n in (20, 2))
    others = torch.arange(200) % 5 == 0
    plain = dual_ridge(x, x[:, :2], others, (1e-4, 100.0))
    assert plain[2] < 0.01 and torch.allclose(plain[0][:, :2], torch.eye(2), atol=0.01)
    none = dual_ridge(x, noise, others, (1e-4, 100.0))
    assert none[2] < 1.2 * noise[others].square().sum()
    assert none[0].abs().max() < 0.05  # the strongest, where there is nothing to learn


@pytest.mark.parametrize("useful", [False, True])
@torch.no_grad()
def test_the_trained_part_stays_only_where_it_helps(useful):
    torch.manual_seed(0)
    net = GenerativeTokens(SIZES, STYLE).eval()
    net.style.mean.normal_()
    net.style.axes.copy_(torch.eye(6, 12) * torch.linspace(3, 1, 6)[:, None])
    torch.nn.init.normal_(net.style.out.weight)
    latent, features = torch.randn(300, 8, 8, 8), torch.randn(300, 8, 8, 8)
    seen = coarse(net.style.seen(latent, features, 1.0))
    said = net.style(latent, features)
    assert seen.shape == (300, 64)
    linear = seen @ torch.randn(64, 6) @ net.style.axes
    true = net.style.mean + linear + (said - net.style.mean if useful else 0)
    shares = fit(net, Rows(seen, said, true, torch.arange(300)))
    beside = min(share for name, share in shares.items() if "beside" in name)
    assert (beside < min(share for name, share in shares.items() if "alone" in name)) == useful
    assert bool(net.style.out.weight.any()) == useful
    left = (net.style(latent, features) - true).square().sum() / (true - true.mean(0)).square().sum()
    assert left < 0.1


def test_numbers_on_many_scales_are_brought_to_one():
    """What tells the style is small beside what does not."""
    torch.manual_seed(0)
    net = GenerativeTokens(SIZES, STYLE).eval()
    net.style.axes.copy_(torch.eye(6, 12))
    seen = torch.randn(60, 64) * torch.tensor([0.01] * 6 + [10.0] * 58)
    true = 100 * seen[:, :6] @ net.style.axes
    shares = fit(net, Rows(seen, torch.zeros(60, 12), true, torch.arange(60)))
    assert shares["evenness 1.0, alone"] < 0.7 * shares["evenness 0.0, alone"]


class People:
    """Seven drawn people who are told apart by their style."""

    def __len__(self):
        return 7

    def __getitem__(self, i):
        return Drawn(np.full((128, 128, 3), 20 * i, np.uint8), torch.zeros(8, 8, 8), torch.full((12,), float(i)))


def test_rows_are_of_all_people_in_turn_and_say_whose_they_are(monkeypatch):
    monkeypatch.setattr(generator_style, "SIDE", 8)
    torch.manual_seed(0)
    rows = rows_of(GenerativeTokens(SIZES, STYLE).eval(), People(), 28, 0)
    assert torch.equal(rows.true[:, 0], rows.who.float())
    assert rows.seen.shape == (len(rows.who), 64) and rows.said.shape == rows.true.shape
    assert set(rows.who.tolist()) == set(range(7)) and rows.who.bincount().max() <= 4
