"""Lookup. The expected numbers are worked out by hand."""

import math

import pytest
import torch
from resemblance.core.models.lookup import adain, look_up
from resemblance.core.records import Lookup

TOP2 = Lookup("top-k", k=2)

CODEBOOK = torch.tensor([[1.0, 0.0], [0.0, 1.0], [10.0, 10.0]])
# Two positions, one above the other. Odds of the three words: 1 : 3 : 0.. and 1 : 1 : 2.
LOGITS = torch.tensor([[[0.0, math.log(3), -50.0], [0.0, 0.0, math.log(2)]]])


@pytest.fixture
def random_lookup():
    dice = torch.Generator().manual_seed(0)
    return torch.randn(2, 12, 40, generator=dice), torch.randn(40, 5, generator=dice)


def test_nearest_by_hand():
    codes, confidence = look_up(LOGITS, CODEBOOK, Lookup(), side=2)
    assert codes.shape == (1, 2, 2, 1) and confidence.shape == (1, 1, 2, 1)
    assert torch.equal(codes[0, :, :, 0].mT, torch.tensor([[0.0, 1.0], [10.0, 10.0]]))
    torch.testing.assert_close(confidence.flatten(), torch.tensor([3 / 4, 2 / 4]))


def test_top_k_by_hand():
    codes, confidence = look_up(LOGITS[:, :1], CODEBOOK, TOP2, side=1)
    torch.testing.assert_close(codes.flatten(), torch.tensor([1 / 4, 3 / 4]))
    torch.testing.assert_close(confidence.flatten(), torch.tensor([3 / 4]))
    # temperature 1/2 squares the odds to 1 : 9, temperature 2 takes their root, 1 : 1.732
    codes, _ = look_up(LOGITS[:, :1], CODEBOOK, Lookup("top-k", k=2, temperature=0.5), side=1)
    torch.testing.assert_close(codes.flatten(), torch.tensor([0.1, 0.9]))
    codes, _ = look_up(LOGITS[:, :1], CODEBOOK, Lookup("top-k", k=2, temperature=2), side=1)
    torch.testing.assert_close(codes.flatten(), torch.tensor([1.0, math.sqrt(3)]) / (1 + math.sqrt(3)))


def test_positions_go_row_by_row():
    logits = torch.full((1, 6, 6), -9.0)
    logits[0, range(6), range(6)] = 9.0
    codes, _ = look_up(logits, torch.arange(6.0)[:, None], Lookup(), side=2)
    assert torch.equal(codes[0, 0], torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]))


@pytest.mark.parametrize("lookup", [Lookup("top-k", k=1), Lookup("top-k", k=4, temperature=1e-30)])
def test_top_1_and_temperature_0_are_nearest(random_lookup, lookup):
    for got, expected in zip(
        look_up(*random_lookup, lookup, side=3), look_up(*random_lookup, Lookup(), side=3), strict=True
    ):
        assert torch.equal(got, expected)


def test_all_codes_at_high_temperature_are_the_mean(random_lookup):
    codes, _ = look_up(*random_lookup, Lookup("top-k", k=40, temperature=1e9), side=3)
    mean = random_lookup[1].mean(0)[None, :, None, None].expand_as(codes)
    torch.testing.assert_close(codes, mean)


@pytest.mark.parametrize("lookup", [Lookup(), Lookup("top-k", k=5)])
def test_the_order_of_the_codebook_does_not_matter(random_lookup, lookup):
    logits, codebook = random_lookup
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for got, expected in zip(
        look_up(logits[..., order], codebook[order], lookup, side=3),
        look_up(logits, codebook, lookup, side=3),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)


def test_more_codes_than_there_are():
    with pytest.raises(ValueError, match="k=4, but the codebook has 3 words; set k to 3 or less"):
        look_up(LOGITS, CODEBOOK, Lookup("top-k", k=4), side=2)


def test_adain_by_hand():
    codes = torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2)  # mean 2, variance (of a sample) 2
    content = torch.tensor([10.0, 16.0]).reshape(1, 1, 1, 2)  # mean 13, variance 18
    # so a deviation of 1 becomes one of 3, but for the constant 1e-5 in both variances
    torch.testing.assert_close(adain(codes, content).flatten(), torch.tensor([10.0, 16.0]), atol=1e-4, rtol=0)
    flat = adain(torch.ones(1, 1, 2, 2), content)
    assert torch.equal(flat, torch.full((1, 1, 2, 2), 13.0))


def test_the_mean_is_of_all_words_by_their_probability(random_lookup):
    logits, codebook = random_lookup
    codes, _ = look_up(logits, codebook, Lookup("mean"), side=3)
    expected = (logits.softmax(-1) @ codebook).mT.unflatten(2, (3, -1))
    assert torch.allclose(codes, expected, atol=1e-5)
    assert torch.equal(look_up(logits, codebook, Lookup(), 3)[0], look_up(logits, codebook, Lookup("nearest"), 3)[0])


def test_what_is_left_to_the_restorer_is_its_own():
    assert Lookup().by("mean") == Lookup("mean") and Lookup("top-k", 3).by("mean") == Lookup("top-k", 3)
