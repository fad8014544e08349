"""The part of the shipped restorer that reads references: what it must never do, whatever it learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from resemblance.core.faces.crop import aligned_crops
from resemblance.core.models.generative import GenerativeNet
from resemblance.core.models.prior import Prior, PriorConfig, given_by
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.models.styled_decoder import DecoderConfig
from resemblance.core.models.transfer import TransferConfig, TransferGuide, TransferNet
from resemblance.core.records import Lookup, Person
from resemblance.core.refinement import RefinementOptions, refine_tokens
from resemblance.core.restorers.token_restorer import TokenRestorer
from resemblance.core.restorers.tokens import decode_tokens, encode_tokens
from torch import Tensor
from torch.nn import functional as F


@pytest.fixture(scope="module", params=["first", "second"])
def restorer(request: pytest.FixtureRequest) -> TokenRestorer:
    """Random weights, and none of the zeros that training starts from."""
    torch.manual_seed(5)
    network: ResemblanceNet | GenerativeNet
    if request.param == "first":
        network, transfer = ResemblanceNet(), TransferNet()
    else:
        drawing = DecoderConfig(channels=(16, 16, 8, 8, 8))
        network, transfer = GenerativeNet(decoder=drawing), TransferNet(TransferConfig(takes=True))
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
    assert guided.reference is not None
    assert guided.reference.style.shape[:2] == (2, 16)
    assert not any(gate[0].any() for gate in guided.reference.gates.values())


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
    assert guided.reference is not None
    closed = {side: torch.zeros_like(gate) for side, gate in guided.reference.gates.items()}
    network = restorer.network
    guide = TransferGuide(network.transfer, replace(guided.reference, gates=closed))
    skips = {side: x.float() for side, x in tokens.skips.items()}
    blind = network.decode(tokens.content, tokens.code_latent, skips)
    assert torch.equal(network.decode(tokens.content, tokens.code_latent, skips, guide=guide), blind)


def test_as_much_is_taken_as_it_is_sure(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:2]), restorer)
    people = [person(restorer, faces[2:])] * 2
    whole, trusted = restorer.transfer(tokens, people)
    guided, shares = restorer.transfer(tokens, people, amounts=[0.25, 1.0])
    torch.testing.assert_close(shares[0], 0.25 * trusted[0], rtol=1e-3, atol=1e-6)
    assert shares[0].any()
    assert torch.equal(shares[1], trusted[1])
    assert guided.reference is not None and whole.reference is not None
    for side in (32, 64, 128):
        gates = (guided.reference.gates[side], whole.reference.gates[side])
        torch.testing.assert_close(gates[0][0], 0.25 * gates[1][0], rtol=1e-2, atol=1e-4)
        torch.testing.assert_close(gates[0][1], gates[1][1])
    assert torch.equal(restorer.transfer(tokens, people, amounts=[1.0, 1.0])[1][0], trusted[0])
    halved, _ = restorer.transfer(tokens, people, 0.5, [0.5, 1.0])
    assert halved.reference is not None
    half, quarter = (record.reference.gates[32][0] for record in (halved, guided))
    torch.testing.assert_close(half, quarter, rtol=1e-2, atol=1e-4)


def test_somebody_else_gives_nothing(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:1]), restorer)
    guided, (shares,) = restorer.transfer(tokens, [person(restorer, faces[1:])], amounts=[0.0])
    assert not shares.any()
    assert torch.equal(decode_tokens(guided), decode_tokens(tokens))


def test_sizes_are_read_off_the_tensors() -> None:
    small = TransferConfig((6, 8, 12), 10, 20, 16, 5, ((16, 4, 1), (32, 3, 3), (64, 5, 3), (128, 7, 1)), (9, 8, 7))
    for config in (small, TransferConfig(), replace(small, takes=True)):
        assert TransferConfig.from_state(TransferNet(config).state_dict()) == config


def test_networks_of_other_widths_read_the_same_of_a_reference(faces: Tensor) -> None:
    """Of one photograph: its latent, as the restorer encodes the warped picture; the prior reads it times the gate."""
    torch.manual_seed(3)
    config = RestorerConfig((48, 96, 192), latent=40, codes=64, dim=64, layers=1, heads=2, encoder_blocks=1)
    network = ResemblanceNet(config)
    network.transfer = TransferNet(TransferConfig(config.widths, config.latent))
    network.prior = Prior(PriorConfig(config.latent, dim=64, layers=1, heads=2))
    wide = TokenRestorer(network.eval().requires_grad_(False), "wide", "none", "0")
    tokens, _ = wide.transfer(encode_tokens(aligned_crops(faces[:1]), wide), [person(wide, faces[1:2])])
    assert tokens.reference is not None
    latent, _ = network.encoder(tokens.reference.pictures * 2 - 1)
    torch.testing.assert_close(tokens.reference.latent.float(), latent, rtol=1e-2, atol=1e-2)
    given = given_by(tokens.reference, tokens.content)
    gate = tokens.reference.gates[32].float()
    assert gate.any()
    torch.testing.assert_close(given, torch.cat([latent * gate, gate], 1), rtol=1e-2, atol=1e-2)
    assert refine_tokens(tokens, RefinementOptions(1)).tokens.content.shape == (1, 40, 32, 32)
    assert decode_tokens(tokens).shape == (1, 3, 512, 512)


def test_shares_follow_weights_and_order(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:1]), restorer)
    both = person(restorer, faces[1:], (1.0, 1.0))
    swapped = replace(
        both,
        faces=both.faces.flip(0),
        content=both.content.flip(0),
        skips={side: x.flip(0) for side, x in both.skips.items()},
        identity_embeddings=both.identity_embeddings.flip(0),
    )
    (one,), (two,) = (restorer.transfer(tokens, [p])[1] for p in (both, swapped))
    torch.testing.assert_close(one.flip(0), two, rtol=1e-4, atol=1e-5)
    (heavy,) = restorer.transfer(tokens, [replace(both, weights=(1.0, 9.0))])[1]
    assert heavy[1].mean() > one[1].mean()


def test_a_restorer_without_the_part_says_so(faces: Tensor) -> None:
    torch.manual_seed(0)
    plain = TokenRestorer(ResemblanceNet().eval().requires_grad_(False), "plain", "none", "0")
    tokens = encode_tokens(aligned_crops(faces[:1]), plain)
    assert not plain.transfers
    with pytest.raises(ValueError, match="'plain' has no weights that read references"):
        plain.transfer(tokens, [person(plain, faces[1:2])])


def test_what_was_found_stands_in_where_the_gate_lets_it(faces: Tensor) -> None:
    torch.manual_seed(6)
    drawing = DecoderConfig(channels=(16, 16, 8, 8, 8))
    network, transfer = GenerativeNet(decoder=drawing), TransferNet(TransferConfig(takes=True))
    for take in transfer.takes:
        torch.nn.init.constant_(take.bias, 50.0)  # all of it
    network.transfer = transfer
    restorer = TokenRestorer(network.eval().requires_grad_(False), "random", "none", "0")
    tokens, _ = restorer.transfer(encode_tokens(aligned_crops(faces[:1]), restorer), [person(restorer, faces[1:2])])
    found = tokens.reference
    assert found is not None
    gates = {side: torch.zeros_like(gate) for side, gate in found.gates.items()}
    for side, gate in gates.items():
        gate[..., : side // 2] = 1
    skips = {side: x.float() for side, x in tokens.skips.items()}
    content, mixed = transfer.stand_in(tokens.content, skips, replace(found, gates=gates))
    for side in (32, 64, 128):
        left, right = (slice(0, side // 2 - 1), slice(side // 2 + 1, None))
        torch.testing.assert_close(mixed[side][..., left], found.warped[side].float()[..., left], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(mixed[side][..., right], skips[side][..., right])
    torch.testing.assert_close(content[..., :15], found.latent.float()[..., :15], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(content[..., 17:], tokens.content[..., 17:])
    torch.testing.assert_close(mixed[512][..., :250], found.pictures[..., :250], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mixed[512][..., 264:], skips[512][..., 264:])


def test_at_quality_0_references_change_nothing(restorer: TokenRestorer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:1]), restorer)
    guided, _ = restorer.transfer(tokens, [person(restorer, faces[1:])])
    plain = replace(guided, quality_weight=0.0)
    torch.testing.assert_close(decode_tokens(plain), faces[:1], rtol=0, atol=1e-5)
