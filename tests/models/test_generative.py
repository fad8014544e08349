"""The second restorer: what the weights mean, and parts of faces beside whole ones."""

from dataclasses import replace

import pytest
import torch
from resemblance.core.models.generative import GenerativeNet
from resemblance.core.models.restorer import RestorerConfig
from resemblance.core.models.style_head import StyleConfig, StyleHead
from resemblance.core.models.styled_decoder import DecoderConfig, StyledDecoder, coarse_to_fine

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


def test_a_square_decoded_alone_is_that_of_the_face():
    """But for its border, where convolutions see nothing; the noise is that of its place."""
    torch.manual_seed(0)
    decoder = StyledDecoder(replace(DRAWING, side=16)).eval().requires_grad_(False)
    for name, tensor in decoder.state_dict().items():
        tensor.normal_(std=0.05 if "noise" in name else 0.3)
    z, w = torch.randn(1, 8, 16, 16), torch.randn(1, 12)
    skips = [torch.randn(1, 8, side, side) for side in (16, 32, 64)]
    whole, mask = decoder(z, w, skips, 1.0)
    z, *skips = (x[..., k * 2 : k * 16, k : k * 15] for k, x in zip((1, 1, 2, 4), (z, *skips), strict=True))
    part, part_mask = decoder(z, w, skips, 1.0, place=(2, 1))
    inner = slice(90, 134)
    there = slice(90 + 32, 134 + 32), slice(90 + 16, 134 + 16)
    assert torch.allclose(part[..., inner, inner], whole[..., there[0], there[1]], atol=1e-3)
    assert torch.allclose(part_mask[..., inner, inner], mask[..., there[0], there[1]], atol=1e-4)
    elsewhere, _ = decoder(z, w, skips, 1.0)
    assert not torch.allclose(elsewhere[..., inner, inner], whole[..., there[0], there[1]], atol=1e-3)


def test_each_modulation_may_have_a_style_of_its_own():
    torch.manual_seed(0)
    decoder = StyledDecoder(DRAWING).eval().requires_grad_(False)
    z, w = torch.randn(1, 8, 8, 8), torch.randn(1, DRAWING.modulations, 12)
    before, mask = decoder(z, w, [], 0.0)
    assert mask is None
    assert torch.equal(decoder(z, w[:, :1].expand_as(w), [], 0.0)[0], decoder(z, w[:, 0], [], 0.0)[0])
    for i in range(DRAWING.modulations):
        changed = w.clone()
        changed[:, i] += 1
        assert not torch.equal(decoder(z, changed, [], 0.0)[0], before)


def test_transforms_start_as_nothing():
    torch.manual_seed(0)
    decoder = StyledDecoder(DRAWING).eval().requires_grad_(False)
    z, w = torch.randn(1, 8, 8, 8), torch.randn(1, 12)
    skips = [torch.randn(1, 8, side, side) for side in (8, 16, 32)]
    assert torch.equal(decoder(z, w, skips, 1.0)[0], decoder(z, w, skips, 0.0)[0])


def test_the_style_starts_as_the_mean_and_lies_in_its_axes():
    torch.manual_seed(0)
    head = StyleHead(STYLE).eval()
    head.mean.normal_()
    head.axes[:, :6].copy_(torch.eye(6))
    z, features = torch.randn(2, 8, 8, 8), torch.randn(2, 8, 8, 8)
    assert torch.equal(head(z, features), head.mean.expand(2, -1))
    torch.nn.init.normal_(head.out.weight)
    told = head(z, features) - head.mean
    assert told[:, :6].abs().min() > 0 and told[:, 6:].abs().max() < 1e-6
    assert not torch.allclose(head(z, features), head(z, features + 1))
    assert torch.equal(head(z, features, 0.0), head(z, features + 1, 0.0))
