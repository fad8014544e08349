"""The operators that carry texture, against their equations written out."""

from __future__ import annotations

import math

import pytest
import torch
from resemblance.core.models.texture import (
    CodebookAttention,
    Distribution,
    Extraction,
    normalise,
    positions,
    reconstruct,
)


@pytest.fixture
def made() -> torch.Generator:
    torch.manual_seed(3)
    return torch.Generator().manual_seed(3)


def test_positions_are_pixel_centres() -> None:
    place = positions(4, torch.zeros(1))
    assert place[0, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]  # x grows along a row
    assert place[1, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_normalise_takes_the_mean_over_channels_and_the_length(made: torch.Generator) -> None:
    x = torch.randn(1, 5, 2, 2, generator=made)
    pixel = x[0, :, 1, 0]
    expected = (pixel - pixel.mean()) / (pixel - pixel.mean()).norm()
    torch.testing.assert_close(normalise(x)[0, :, 1, 0], expected)


def test_extraction_is_a_weighted_mean_of_values_over_all_references(made: torch.Generator) -> None:
    extract = Extraction(3, 2, 1)
    features = torch.randn(1, 2, 3, 4, 4, generator=made)
    weights = torch.tensor([[1.0, 3.0]])
    textures, attention = extract(features, weights)
    filters, values = extract.filters.weight[:, :, 0, 0], extract.values.weight[:, :, 0, 0]
    for k in range(2):
        total, mean = 0.0, torch.zeros(3)
        for r in range(2):
            for y in range(4):
                for x in range(4):
                    f = features[0, r, :, y, x]
                    n = (f - f.mean()) / (f - f.mean()).norm() * math.sqrt(3)
                    place = torch.tensor([(2 * x + 1) / 4 - 1, (2 * y + 1) / 4 - 1])
                    score = float(weights[0, r]) * math.exp(float((filters[k] @ torch.cat([n, place])).detach()))
                    total += score
                    mean = mean + score * (values @ f + extract.values.bias)
        torch.testing.assert_close(textures[0, k], mean / total, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(attention.sum((2, 3)), torch.ones(1, 2))


def test_a_photograph_given_twice_counts_as_one_of_twice_the_weight(made: torch.Generator) -> None:
    extract = Extraction(4, 3, 3)
    one, other = torch.randn(2, 1, 1, 4, 8, 8, generator=made)
    twice, _ = extract(torch.cat([one, one, other], 1), torch.ones(1, 3))
    weighted, _ = extract(torch.cat([one, other], 1), torch.tensor([[2.0, 1.0]]))
    torch.testing.assert_close(twice, weighted, rtol=1e-4, atol=1e-5)


def test_distribution_mixes_textures_by_a_softmax_over_them(made: torch.Generator) -> None:
    distribute = Distribution(3, 2, 1)
    queries, textures = torch.randn(1, 3, 2, 2, generator=made), torch.randn(1, 2, 3, generator=made)
    given, attention = distribute(queries, textures)
    q = queries[0, :, 0, 1]
    n = (q - q.mean()) / (q - q.mean()).norm() * math.sqrt(3)
    place = torch.tensor([0.5, -0.5])
    logits = distribute.filters.weight[:, :, 0, 0] @ torch.cat([n, place]) + distribute.filters.bias
    shares = logits.exp() / logits.exp().sum()
    torch.testing.assert_close(given[0, :, 0, 1], shares @ textures[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(attention[0, :, 1], shares, rtol=1e-4, atol=1e-5)


def test_reconstruction_sends_colours_through_both_attentions() -> None:
    colours = torch.tensor([[[[[1.0, 0.0], [0.5, 0.25]]]]])  # one channel, 2x2
    # Texture 0 is the first pixel, texture 1 the mean of the last two.
    extraction = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.5, 0.5]]]])
    distribution = torch.tensor([[[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.5, 1.0]]])
    sent = reconstruct(colours, extraction, distribution)
    torch.testing.assert_close(sent, torch.tensor([[[[1.0, 0.375], [0.6875, 0.375]]]]))


def test_codebook_attention_is_scaled_dot_product_over_the_code_words(made: torch.Generator) -> None:
    attend = CodebookAttention(3, 5, 4, guide=4)
    features, codebook = torch.randn(1, 3, 4, 4, generator=made), torch.randn(7, 5, generator=made)
    guide = torch.randn(1, 4, 2, 2, generator=made)
    found = attend(features, codebook, guide)
    near = torch.nn.functional.interpolate(guide, scale_factor=2, mode="bilinear")[0, :, 2, 1]
    x = torch.cat([features[0, :, 2, 1], torch.tensor([-0.25, 0.25]), near])
    query = attend.queries.weight[:, :, 0, 0] @ x + attend.queries.bias
    shares = (attend.keys(codebook) @ query / 2).softmax(0)
    torch.testing.assert_close(found[0, :, 2, 1], shares @ attend.values(codebook), rtol=1e-4, atol=1e-5)
