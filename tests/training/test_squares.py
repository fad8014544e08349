"""A square that is decoded alone is what the whole face shows there."""

from __future__ import annotations

import importlib.util

import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.models.generative import GenerativeNet
from resemblance.core.models.styled_decoder import DecoderConfig
from resemblance.core.models.transfer import TransferConfig, TransferGuide, TransferNet
from resemblance.core.training import squares
from resemblance.core.training.flow import encoded, photographs


@pytest.fixture
def noisy() -> tuple[GenerativeNet, TransferNet]:
    """Both networks, of which nothing is zero."""
    torch.manual_seed(3)
    net = GenerativeNet(decoder=DecoderConfig(channels=(16, 16, 8, 8, 8))).eval().requires_grad_(False)
    transfer = TransferNet(TransferConfig(takes=True)).eval().requires_grad_(False)
    for parameter in (
        *net.decoder.transforms.parameters(),
        *transfer.fusions.parameters(),
        *net.decoder.mask.parameters(),
    ):
        parameter.copy_(0.05 * torch.randn_like(parameter))
    transfer.bands.bias.fill_(0.0)
    return net, transfer


def test_a_square_is_what_the_whole_shows_there(noisy: tuple[GenerativeNet, TransferNet]) -> None:
    net, transfer = noisy
    faces = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(1))
    content, words, skips = encoded(net, faces[:1])
    seen = photographs(net, faces[1:][None], torch.randn(1, 1, 128))
    found = transfer.extract_references(content, words, skips, seen, net.embedding, net.encode)
    guide = TransferGuide(transfer, found.reference)
    whole = net.decode(content, words, skips, guide=guide)
    part = squares.decoded(net, content, words, skips, guide, (3, 10))
    expected = squares.cut(whole, (3, 10), 32)
    assert part.shape == expected.shape == (1, 3, 256, 256)
    inside = (..., slice(64, -64), slice(64, -64))
    torch.testing.assert_close(part[inside], expected[inside], rtol=0, atol=1e-4)
    assert (squares.within(part) - squares.within(expected)).abs().mean() < 0.1 * expected.std()
    assert (squares.cut(whole, (4, 10), 32) - expected).abs().mean() > 0.1 * expected.std()
