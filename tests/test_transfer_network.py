"""The part of the shipped restorer that reads references: what it must never do, whatever it learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from resemblance.core.crop import aligned_crops
from resemblance.core.models.fusion import bands, match_colours
from resemblance.core.models.restorer import ResemblanceNet
from resemblance.core.models.transfer import TransferGuide, TransferNet
from resemblance.core.records import Lookup, Person
from resemblance.core.token_restorer import TokenRestorer
from resemblance.core.tokens import decode_tokens, encode_tokens
from torch import Tensor
from torch.nn import functional as F


@pytest.fixture(scope="module")
def restorer() -> TokenRestorer:
    """Random weights, and none of the zeros that training starts from."""
    torch.manual_seed(5)
    network, transfer = ResemblanceNet(), TransferNet()
    with torch.no_grad():
        for parameter in [*network.parameters(), *transfer.parameters()]:
            if not parameter.any():
                parameter.normal_(0, 0.02)
    network.transfer = transfer
    return TokenRestorer(network.eval().requires_grad_(False), "random", "none", "0")


@pytest.fixture(scope="module")
def faces() -> Tensor:
    small = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return F.interpolate(small, (512, 512), mode="bicubic").clamp(0, 1)


def person(restorer: TokenRestorer, faces: Tensor, weights: tuple[float, ...] | None = None) -> Person:
    content, quality, _, _, skips = restorer.encode(faces, Lookup())
    identity = F.normalize(torch.randn(len(faces), 128, generator=torch.Generator().manual_seed(2)))
    skips = {side: x for side, x in skips.items() if side < 512}
    weights = weights or (1.0,) * len(faces)
    return Person("anna", faces, content, quality, skips, identity, identity, weights, ("a",) * len(faces))


def test_only_faces_with_a_person_change(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:2]), restorer)
    blind = decode_tokens(tokens)
    guided, attribution = restorer.transfer(tokens, [None, person(restorer, faces[2:])])
    drawn = decode_tokens(guided)
    assert torch.equal(drawn[0], blind[0])
    assert not torch.equal(drawn[1], blind[1])
    assert attribution[0].shape == (0, 32, 32)
    assert attribution[1].shape == (1, 32, 32)
    assert guided.style is not None
    assert guided.style.shape[:2] == (2, 16)


def test_without_anybody_the_tokens_are_the_same(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:1]), restorer)
    assert restorer.transfer(tokens, [None])[0] is tokens


def test_strength_0_restores_blind_bit_for_bit(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:1]), restorer)
    guided, attribution = restorer.transfer(tokens, [person(restorer, faces[1:])], 0.0)
    assert torch.equal(decode_tokens(guided), decode_tokens(tokens))
    assert not attribution[0].any()


def test_a_closed_gate_adds_nothing(restorer: TokenRestorer, faces: Tensor) -> None:
    """The guide itself, not the short cut around it."""
    tokens = encode_tokens(aligned_crops(faces[:1]), restorer)
    guided, _ = restorer.transfer(tokens, [person(restorer, faces[1:2])])
    assert guided.transfer is not None and guided.style is not None
    closed = {side: x.clone() for side, x in guided.transfer.items()}
    for side in (32, 64, 128):
        closed[side][:, -1] = 0
    network = restorer.network
    guide = TransferGuide(network.transfer, closed, guided.style)
    skips = {side: x.float() for side, x in tokens.skips.items()}
    blind = network.decode(tokens.content, tokens.quality, skips)
    assert torch.equal(network.decode(tokens.content, tokens.quality, skips, guide=guide), blind)


def test_as_much_is_taken_as_it_is_sure(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:2]), restorer)
    people = [person(restorer, faces[2:])] * 2
    whole, trusted = restorer.transfer(tokens, people)
    guided, shares = restorer.transfer(tokens, people, amounts=[0.25, 1.0])
    torch.testing.assert_close(shares[0], 0.25 * trusted[0], rtol=1e-3, atol=1e-6)
    assert shares[0].any()
    assert torch.equal(shares[1], trusted[1])
    assert guided.transfer is not None and whole.transfer is not None
    for side in (32, 64, 128):
        gates = (guided.transfer[side][:, -1], whole.transfer[side][:, -1])
        torch.testing.assert_close(gates[0][0], 0.25 * gates[1][0], rtol=1e-2, atol=1e-4)
        torch.testing.assert_close(gates[0][1], gates[1][1])
    assert torch.equal(restorer.transfer(tokens, people, amounts=[1.0, 1.0])[1][0], trusted[0])
    halved, _ = restorer.transfer(tokens, people, 0.5, [0.5, 1.0])
    assert halved.transfer is not None
    torch.testing.assert_close(halved.transfer[32][0, -1], guided.transfer[32][0, -1], rtol=1e-2, atol=1e-4)


def test_somebody_else_gives_nothing(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:1]), restorer)
    guided, (shares,) = restorer.transfer(tokens, [person(restorer, faces[1:])], amounts=[0.0])
    assert not shares.any()
    assert torch.equal(decode_tokens(guided), decode_tokens(tokens))


def test_shares_follow_weights_and_order(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:1]), restorer)
    both = person(restorer, faces[1:], (1.0, 1.0))
    swapped = replace(
        both,
        faces=both.faces.flip(0),
        content=both.content.flip(0),
        skips={side: x.flip(0) for side, x in both.skips.items()},
        identity=both.identity.flip(0),
    )
    (one,), (two,) = (restorer.transfer(tokens, [p])[1] for p in (both, swapped))
    torch.testing.assert_close(one.flip(0), two, rtol=1e-4, atol=1e-5)
    (heavy,) = restorer.transfer(tokens, [replace(both, weights=(1.0, 9.0))])[1]
    assert heavy[1].mean() > one[1].mean()


def test_colours_are_the_faces_own(faces: Tensor) -> None:
    dark = faces[:1] * 0.4 + 0.1
    matched = match_colours(faces[1:2], dark)
    middle = (slice(None), slice(None), slice(8 * 16, 29 * 16), slice(6 * 16, 26 * 16))
    torch.testing.assert_close(matched[middle].mean((2, 3)), dark[middle].mean((2, 3)), rtol=0, atol=0.02)


def test_bands_and_what_is_left_make_the_picture(faces: Tensor) -> None:
    x = faces[:1]
    fine, middle, coarse = bands(x)
    rest = F.avg_pool2d(x, 8)
    for band in (coarse, middle, fine):
        rest = F.interpolate(rest, scale_factor=2, mode="bilinear", align_corners=False) + band
    torch.testing.assert_close(rest, x, rtol=0, atol=1e-5)


def test_a_restorer_without_the_part_says_so(faces: Tensor) -> None:
    torch.manual_seed(0)
    plain = TokenRestorer(ResemblanceNet().eval().requires_grad_(False), "plain", "none", "0")
    tokens = encode_tokens(aligned_crops(faces[:1]), plain)
    assert not plain.transfers
    with pytest.raises(ValueError, match="'plain' has no weights that read references"):
        plain.transfer(tokens, [person(plain, faces[1:2])])
