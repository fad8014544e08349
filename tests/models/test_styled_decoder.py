"""Parts of faces are drawn as in whole ones, and every style is read."""

from dataclasses import replace

import torch
from resemblance.core.models.styled_decoder import DecoderConfig, StyledDecoder

DRAWING = DecoderConfig(8, 8, 12, channels=(16, 16, 8, 8, 8), encoded=(8, 8, 8), narrow=(4, 4, 4))


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
