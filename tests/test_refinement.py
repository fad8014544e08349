"""Refinement: the solver and the guidance by hand, and what refining tokens must never do, whatever was learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from people import ColourEmbedder, Giving
from resemblance.core import refinement as refinement_module
from resemblance.core.faces.crop import aligned_crops
from resemblance.core.models.prior import Prior
from resemblance.core.models.restorer import ResemblanceNet
from resemblance.core.models.transfer import TransferNet
from resemblance.core.records import FaceQuality, FaceTokens, Lookup, Person
from resemblance.core.refinement import (
    Refined,
    RefinedFace,
    RefinementOptions,
    identity_target,
    refine_tokens,
    refined_faces,
)
from resemblance.core.reports import refined_record
from resemblance.core.restorers.token_restorer import TokenRestorer
from resemblance.core.restorers.tokens import encode_tokens
from torch import Tensor
from torch.nn import functional as F


def refine(tokens, steps=1, people=None, embedder=None, progress=None, **settings) -> Refined:
    """As the function, with the options one by one."""
    return refine_tokens(tokens, RefinementOptions(steps, **settings), people, embedder, progress)


class Unasked:
    """An embedder that must not be asked."""

    network = None

    def embed(self, faces: Tensor) -> Tensor:
        raise AssertionError("the embedder was asked")


class Quarters:
    """Embeddings that are easily told: the mean colours of the four quarters."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1), requires_grad=False)

        def forward(self, faces: Tensor) -> Tensor:
            return F.normalize((F.adaptive_avg_pool2d(faces.float(), 2).flatten(1) - 0.5) * self.scale)

    def __init__(self) -> None:
        self.network = self.Network()

    def embed(self, faces: Tensor) -> Tensor:
        return self.network(faces)


@pytest.fixture(scope="module")
def restorer() -> TokenRestorer:
    """Random weights, and none of the zeros that training starts from."""
    torch.manual_seed(5)
    network, transfer, prior = ResemblanceNet(), TransferNet(), Prior()
    with torch.no_grad():
        for parameter in [*network.parameters(), *transfer.parameters(), *prior.parameters()]:
            if not parameter.any():
                parameter.normal_(0, 0.02)
    network.transfer, network.prior = transfer, prior
    return TokenRestorer(network.eval().requires_grad_(False), "random", "none", "0")


@pytest.fixture(scope="module")
def faces() -> Tensor:
    small = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return F.interpolate(small, (512, 512), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module")
def tokens(restorer: TokenRestorer, faces: Tensor) -> FaceTokens:
    return encode_tokens(aligned_crops(faces[:2]), restorer)


def test_no_steps_give_the_very_tokens(tokens: FaceTokens) -> None:
    refined = refine(tokens, steps=0, identity_scale=1.0, candidates=4, embedder=Unasked())
    assert refined.tokens is tokens
    assert refined.chosen == (None, None)


def test_refined_codes_are_looked_up_again_and_nothing_else_changes(tokens: FaceTokens) -> None:
    refined = refine(tokens, steps=2, embedder=Unasked()).tokens
    assert not torch.equal(refined.content, tokens.content)
    network = tokens.restorer.network
    logits = network.predict(refined.content)
    assert torch.allclose(refined.logits, logits, atol=1e-4)
    words = network.codebook()[refined.logits.argmax(-1)]
    assert torch.equal(refined.code_latent, words.mT.unflatten(2, (32, 32)))
    chances = refined.logits.softmax(-1).amax(-1).unflatten(1, (1, 32, 32))
    assert torch.allclose(refined.confidence, chances, atol=1e-5)
    assert refined.skips is tokens.skips
    assert refined.crops is tokens.crops


def test_same_seed_same_faces_alone_or_among_others(tokens: FaceTokens, restorer: TokenRestorer, faces: Tensor) -> None:
    first, again, other = (refine(tokens, 2, seed=seed).tokens.content for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    alone = encode_tokens(aligned_crops(faces[1:2]), restorer)
    assert torch.equal(refine(alone, 2, seed=7).tokens.content[0], first[1])


def test_guidance_works_in_inference_mode_and_brings_the_drawn_face_nearer(
    tokens: FaceTokens, faces: Tensor, restorer: TokenRestorer
) -> None:
    embedder = Quarters()
    before = embedder.embed(faces[:2])

    def likeness(refined: FaceTokens) -> Tensor:
        return (
            embedder.embed(restorer.network.decode(refined.content, tokens.code_latent, tokens.skips)) * before
        ).sum(1)

    free = refine(tokens, 2).tokens
    guided = refine(tokens, 2, identity_scale=1.0, embedder=embedder).tokens
    assert (likeness(guided) > likeness(free)).all()
    with torch.inference_mode():
        made_inside = encode_tokens(aligned_crops(faces[:2].clone()), restorer)
        inside = refine(made_inside, 2, identity_scale=1.0, embedder=Quarters()).tokens
    assert torch.allclose(inside.content, guided.content, atol=1e-5)


def test_weights_loaded_in_inference_mode_guide_as_well(faces: Tensor) -> None:
    with torch.inference_mode():
        network = ResemblanceNet().eval().requires_grad_(False)
        network.prior = Prior().eval().requires_grad_(False)
        made = encode_tokens(aligned_crops(faces[:1]), TokenRestorer(network, "random", "none", "0"))
        free, guided = (refine(made, 1, identity_scale=s, embedder=Quarters()).tokens.content for s in (0.0, 1.0))
    assert not torch.equal(free, guided)


def test_the_mask_keeps_places_from_being_guided(tokens: FaceTokens) -> None:
    prior = tokens.restorer.network.prior
    try:
        prior.mask[..., :16, :] = 0
        free, guided = (refine(tokens, 1, identity_scale=s, embedder=Quarters()) for s in (0.0, 1.0))
    finally:
        prior.mask.fill_(1)
    moved = (free.tokens.content - guided.tokens.content).abs().sum(1)
    assert not moved[:, :16].any()
    assert moved[:, 16:].any()
    assert guided.mask.shape == (2, 1, 512, 512)
    assert not guided.mask[..., :240, :].any()
    assert (guided.mask[..., 272:, :] == 1).all()


def test_a_face_that_is_not_finite_is_stopped_and_the_others_go_on(tokens: FaceTokens) -> None:
    content = tokens.content.clone()
    content[0, 3, 4, 5] = torch.nan
    broken = replace(tokens, content=content)
    for candidates in (1, 2):
        refined = refine(broken, 1, candidates=candidates, embedder=Quarters())
        ((number, why),) = refined.stopped
        assert number == 0
        assert "face 0 of photograph 0" in why
        assert torch.equal(refined.tokens.content[0].isnan(), content[0].isnan())
        assert torch.equal(refined.tokens.code_latent[0], tokens.code_latent[0])
        assert refined.chosen[0] is None
    sound = refine(tokens, 1)
    assert torch.equal(refine(broken, 1).tokens.content[1], sound.tokens.content[1])


def test_the_best_candidate_is_taken_and_none_that_is_worse_than_the_face(tokens: FaceTokens, faces: Tensor) -> None:
    embedder = Quarters()
    refined = refine(tokens, 1, candidates=3, embedder=embedder, seed=3)
    assert refined.spread is not None
    assert refined.spread.shape == (2, 1, 512, 512)
    assert (refined.spread >= 0).all()
    assert refined.spread.any()
    target = embedder.embed(faces[:2])  # without references it is the face's own
    scores = [(embedder.embed(tokens.restorer.decode(x)) * target).sum(1) for x in (tokens, refined.tokens)]
    assert (scores[1] >= scores[0] - 1e-6).all()
    bias = tokens.restorer.network.prior.out.bias
    kept = bias.clone()
    try:
        bias += 50  # nothing good comes of this
        worse = refine(tokens, 1, candidates=2, embedder=embedder)
    finally:
        bias.copy_(kept)
    assert worse.chosen == (None, None)
    assert torch.equal(worse.tokens.content, tokens.content)


@pytest.fixture(scope="module")
def anna(restorer: TokenRestorer, faces: Tensor) -> Person:
    content, quality, _, _, skips = restorer.encode(faces[2:], Lookup())
    identity = F.normalize(torch.randn(1, 128, generator=torch.Generator().manual_seed(2)))
    skips = {side: x for side, x in skips.items() if side < 512}
    return Person("anna", faces[2:], content, quality, skips, identity, identity, (1.0,), ("a",))


def told(tokens: FaceTokens, *sure: float | None) -> FaceTokens:
    """The tokens with faces that carry how sure it is whom they show."""
    faces = tuple(replace(face, match_chance=chance) for face, chance in zip(tokens.crops.faces, sure, strict=True))
    return replace(tokens, crops=replace(tokens.crops, faces=faces))


def test_references_are_read(tokens: FaceTokens, anna: Person) -> None:
    alone = refine(tokens, 1).tokens
    read = refine(tokens, 1, people=[None, anna], embedder=Unasked()).tokens
    assert torch.equal(read.content[0], alone.content[0])
    assert not torch.equal(read.content[1], alone.content[1])
    assert read.reference is None  # what is transferred is for the next step to say


def test_references_are_read_as_far_as_it_is_sure_of_the_person(tokens: FaceTokens, anna: Person) -> None:
    people = [anna, anna]
    trusted = refine(tokens, 1, people=people).tokens.content
    doubted = refine(told(tokens, 0.6, None), 1, people=people).tokens.content
    assert torch.equal(doubted[1], trusted[1])
    assert not torch.equal(doubted[0], trusted[0])
    assert torch.equal(refine(told(tokens, 1.0, 0.99), 1, people=people).tokens.content, trusted)


def test_whom_a_face_should_look_like_is_told_by_what_is_left_of_it_and_by_its_references(
    tokens: FaceTokens, anna: Person
) -> None:
    own = F.normalize(torch.randn(2, 128, generator=torch.Generator().manual_seed(3)))
    damages = (0.25, 0.7)
    faces = [
        replace(face, quality=FaceQuality(0.5, 100.0, 0.0, damage))
        for face, damage in zip(tokens.crops.faces, damages, strict=True)
    ]
    measured = replace(tokens, crops=replace(tokens.crops, faces=tuple(faces)))
    target = identity_target(told(measured, 0.6, None), own, [anna, anna])
    trust = (0.6 / 0.9) ** 4
    expected = F.normalize(
        torch.stack([0.75 * own[0] + trust * anna.identity_embeddings[0], 0.3 * own[1] + anna.identity_embeddings[0]])
    )
    torch.testing.assert_close(target, expected)
    torch.testing.assert_close(identity_target(told(measured, 0.6, 0.6), own, [None, None]), own)


def test_progress_is_called_for_each_step(tokens: FaceTokens) -> None:
    calls: list[int] = []
    refine(tokens, 3, progress=lambda: calls.append(1))
    assert len(calls) == 2 * 3  # a CPU takes one face at a time


def test_no_faces_are_fine(restorer: TokenRestorer, faces: Tensor) -> None:
    refined = refine(encode_tokens(aligned_crops(faces[:0]), restorer), 2)
    assert len(refined.tokens) == 0
    assert refined.mask.shape == (0, 1, 512, 512)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"steps": 9}, "Got 9 steps of refinement; expected 0"),
        ({"steps": -1}, "Got -1 steps"),
        ({"identity_scale": 1.5}, "strength of the identity was 1.5; expected 0 to 1"),
        ({"identity_scale": float("nan")}, "strength of the identity was nan"),
        ({"candidates": 0}, "Got 0 candidates; expected 1"),
        ({"people": [None]}, "Got 1 people for 2 faces"),
        ({"identity_scale": 0.5}, "Got no identity embedder; expected one"),
        ({"candidates": 2}, "Got no identity embedder"),
        ({"steps": None}, "steps of refinement were None; expected a number"),
    ],
)
def test_bad_numbers_are_refused(tokens: FaceTokens, arguments: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        refine(tokens, **{"steps": 1} | arguments)


def test_a_restorer_without_a_prior_says_so(tiny_codeformer, faces: Tensor) -> None:
    tokens = encode_tokens(aligned_crops(faces[:1]), TokenRestorer(tiny_codeformer, "CodeFormer", "S-Lab", "0"))
    with pytest.raises(ValueError, match="'CodeFormer' has no prior over clean latents"):
        refine(tokens, 1)


# Refinement as a setting, and what is said of each face


@pytest.fixture
def pair():
    crops = aligned_crops(torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(0)))
    return encode_tokens(crops, Giving(prior=True))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 9}, "Got 9 steps of refinement; expected 0"),
        ({"steps": -1}, "Got -1 steps of refinement"),
        ({"identity_scale": 1.5}, "strength of the identity was 1.5; expected 0 to 1"),
        ({"identity_scale": float("nan")}, "strength of the identity was nan"),
        ({"seed": -1}, "seed was -1; expected 0 to"),
        ({"seed": 2**64}, "seed was 18446744073709551616; expected 0 to"),
        ({"candidates": 0}, "Got 0 candidates; expected 1 to 8"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(ValueError, match=words):
        RefinementOptions(**settings)


def test_the_largest_seed_can_be_used(pair):
    largest, smaller = (refine(pair, seed=2**64 - n).tokens.content for n in (1, 2))
    assert not torch.equal(largest, smaller)


def test_steps_left_open_are_the_restorers_own(monkeypatch):
    able, unable = Giving(prior=True), Giving()
    monkeypatch.setattr(refinement_module, "AUTO_STEPS", 3)
    assert RefinementOptions(identity_scale=0.5, seed=4).resolved(able) == RefinementOptions(3, 0.5, 4)
    assert RefinementOptions().resolved(unable).steps == 0
    for asked in (0, 5):
        assert RefinementOptions(asked).resolved(able).steps == asked
    assert RefinementOptions(0).resolved(unable).steps == 0
    with pytest.raises(ValueError, match=r"'giving' has no prior over clean latents .* built-in restorer, or leave"):
        RefinementOptions(1).resolved(unable)


def test_what_came_of_each_face(pair):
    refined = refine(pair, candidates=2, embedder=ColourEmbedder())
    faces = refined_faces(refined)
    assert len(refined.tokens) == 2 and all(face.stopped is None and face.spread > 0 for face in faces)
    # Half the face differs by 0.3 between candidates: a mask that is even weighs both halves alike.
    spread = torch.zeros(2, 1, 512, 512)
    spread[1, ..., :256] = 0.3
    even = pair.crops.masks * 0 + 0.5
    crops = type(pair.crops)(**(vars(pair.crops) | {"masks": even}))
    given = Refined(type(pair)(**(vars(pair) | {"crops": crops})), spread, spread, (None, 1), ((0, "broken"),))
    assert refined_faces(given) == [
        RefinedFace(None, "broken", 0.0),
        RefinedFace(1, None, pytest.approx(0.15, abs=1e-5)),
    ]
    assert refined_record(RefinedFace(1, None, 0.123456)) == {"candidate": 1, "stopped": None, "spread": 0.1235}
    assert refined_record(RefinedFace(None, "broken", None)) == {"candidate": None, "stopped": "broken", "spread": None}
