"""The second restorer: what the weights mean."""

from dataclasses import replace

import pytest
import torch
from resemblance.core.models.generative import GenerativeNet
from resemblance.core.models.restorer import RestorerConfig
from resemblance.core.models.style_head import StyleConfig
from resemblance.core.models.styled_decoder import DecoderConfig, coarse_to_fine

SIZES = RestorerConfig((8, 8, 8), 1, (1, 1, 1), latent=8, codes=16, dim=32, layers=1, heads=1, size=128)
STYLE = StyleConfig(
    latent=8, features=8, side=8, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16, axes=6, style=12
)
DRAWING = DecoderConfig(8, 8, 12, channels=(16, 16, 8, 8, 8), encoded=(8, 8, 8), narrow=(4, 4, 4))


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = GenerativeNet(SIZES, STYLE, DRAWING).eval().requires_grad_(False)
    for part, spread in ((net.decoder, 0.3), (net.style, 0.1), (net.encoder, 0.1), (net.gate, 0.1)):
        for tensor in part.state_dict().values():  # much starts at zero
            tensor.normal_(std=spread)
    return net


@pytest.fixture
def tokens(net):
    face = torch.rand(2, 3, 128, 128)
    h, skips = net.encode(face)
    words = net.codebook()[net.predict(h).argmax(-1)].mT.unflatten(2, h.shape[2:])
    return face, h, words, skips


def test_tokens_have_their_shapes(net, tokens):
    face, h, words, skips = tokens
    assert h.shape == words.shape == (2, 8, 8, 8)
    assert sorted(skips) == [8, 16, 32, 128]
    assert [x.shape[-1] for x in coarse_to_fine(skips)] == [8, 16, 32]
    assert net.decode(h, words, skips).shape == face.shape


def test_at_quality_0_the_face_comes_back(net, tokens):
    face, h, words, skips = tokens
    assert torch.allclose(net.decode(h, words, skips, quality_weight=0.0), face, atol=1e-5)


def test_at_content_0_the_codes_alone_decide(net, tokens):
    _, h, words, skips = tokens
    other = net.decode(torch.randn_like(h), words, {side: torch.randn_like(x) for side, x in skips.items()}, 0.0)
    assert torch.equal(net.decode(h, words, skips, 0.0), other)
    assert not torch.equal(net.decode(h, words.flip(3), skips, 0.0), other)


@pytest.mark.parametrize("content", [0.0, 0.5, 1.0])
def test_quality_has_an_effect_at_every_content(net, tokens, content):
    _, h, words, skips = tokens
    results = [net.decode(h, words, skips, content, quality) for quality in (0.3, 1.0)]
    assert (results[0] - results[1]).abs().max() > 1e-4


def test_sizes_are_read_off_the_tensors(net):
    for made in (net, GenerativeNet(SIZES, replace(STYLE, rank=3), DRAWING)):
        read = GenerativeNet.from_state(made.state_dict())
        read.load_state_dict(made.state_dict())
        assert (read.style.config, read.decoder.config) == (
            replace(made.style.config, dropout=0.1),
            made.decoder.config,
        )
