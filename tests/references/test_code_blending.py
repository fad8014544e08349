import dataclasses
import math

import pytest
import torch
from resemblance.core.models.lookup import adain
from resemblance.core.records import Crops, Face, FaceTokens, Lookup, Person
from resemblance.core.references.code_blending import REACH, TEMPERATURE, blend_codes
from resemblance.core.restorers.token_restorer import TokenRestorer
from resemblance.core.restorers.tokens import decode_tokens, encode_tokens

SIDE = 16  # of CodeFormer's grid


def crops_of(pixels):
    n, size = len(pixels), pixels.shape[-1]
    points = ((1.0, 1.0), (3.0, 1.0), (2.0, 2.0), (1.0, 3.0), (3.0, 3.0))
    faces = tuple(Face(0, i, (0, 0, 4, 4), 1.0, points) for i in range(n))
    affines = torch.eye(2, 3, dtype=torch.float64).expand(n, 2, 3)
    return Crops(pixels, torch.ones(n, 1, size, size), affines, 0.0, faces, ((size, size),))


def tokens_of(quality, confidence=0.0):
    """Tokens of which only what is read here means anything."""
    n, _, h, w = quality.shape
    sure = torch.as_tensor(confidence).expand(n, 1, h, w)
    return FaceTokens(quality, quality, torch.zeros(n, h * w, 1), sure, {}, crops_of(quality[:, :3]), None, 0.5)


def person_of(quality, weights=None):
    unit = torch.ones(len(quality), 1)
    return Person(
        name="anna",
        faces=torch.zeros(len(quality), 3, 512, 512),
        content=quality,
        code_latent=quality,
        skips={},
        identity_embeddings=unit,
        matching_embeddings=unit,
        weights=weights or (1.0,) * len(quality),
        sources=tuple(f"{i}.png" for i in range(len(quality))),
    )


def noise(seed, *shape):
    return torch.randn(*(shape or (1, 8, SIDE, SIDE)), generator=torch.Generator().manual_seed(seed))


def test_strength_0_changes_nothing():
    tokens = tokens_of(noise(0))
    same, (taken,) = blend_codes(tokens, [person_of(noise(1))], 0.0)
    assert torch.equal(same.code_latent, tokens.code_latent)
    assert taken.shape == (1, SIDE, SIDE) and not taken.any()


def test_it_follows_its_equations():
    face, photographs = noise(0, 1, 3, SIDE, SIDE), noise(1, 2, 3, SIDE, SIDE) * 2 + 1
    sure = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    person = person_of(photographs, (1.0, 3.0))
    moved, (taken,) = blend_codes(tokens_of(face, sure), [person], 0.7)
    values = torch.cat([adain(p[None], face) for p in photographs]).double()
    face, mean = face[0].double(), face[0].double().mean((1, 2))
    for y, x in ((0, 0), (5, 11), (15, 8)):  # a corner, the middle, an edge
        shares, cosines, found = [], [], []
        for r in range(2):
            for v in range(max(0, y - 1), min(SIDE, y + 2)):
                for u in range(max(0, x - 1), min(SIDE, x + 2)):
                    cosine = torch.cosine_similarity(face[:, y, x] - mean, values[r, :, v, u] - mean, 0).item()
                    far = ((v - y) ** 2 + (u - x) ** 2) / SIDE**2 / (2 * (REACH / 2) ** 2)
                    shares.append(person.weights[r] * math.exp(cosine / TEMPERATURE - far))
                    cosines.append(cosine)
                    found.append(values[r, :, v, u])
        shares = torch.tensor(shares, dtype=torch.double) / sum(shares)
        match = (shares * torch.tensor(cosines, dtype=torch.double)).sum().clamp_min(0)
        amount = 0.7 * (1 - sure[0, 0, y, x].double()) * match
        expected = face[:, y, x] + amount * (shares @ torch.stack(found) - face[:, y, x])
        torch.testing.assert_close(moved.code_latent[0, :, y, x].double(), expected, atol=1e-5, rtol=1e-5)
        by_photograph = amount * shares.view(2, -1).sum(1)
        torch.testing.assert_close(taken[:, y, x].double(), by_photograph, atol=1e-5, rtol=1e-5)


def test_the_clean_face_as_reference_brings_the_quality_nearer_to_it():
    clean = noise(0)
    tokens = tokens_of(clean + 0.7 * noise(1))
    errors = [
        (blend_codes(tokens, [person_of(clean)], strength)[0].code_latent - clean).square().mean().item()
        for strength in (0.0, 0.5, 1.0)
    ]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.8 * errors[0]


@pytest.mark.parametrize(("offset", "reached"), [(1, True), (2, False)])
def test_a_far_off_place_is_never_taken(offset, reached):
    """A photograph may do as it likes two places away (of 16): it is not looked at, however well it would match."""
    face = noise(0)
    photograph = noise(1)
    other = photograph.clone()
    # Turned places keep the photograph's mean and spread, so that AdaIN does to all others what it did.
    other[..., 8, 8 + offset], other[..., 8, 15] = photograph[..., 8, 15], photograph[..., 8, 8 + offset]
    first, second = (blend_codes(tokens_of(face), [person_of(p)], 1.0)[0].code_latent for p in (photograph, other))
    assert torch.allclose(first[..., 8, 8], second[..., 8, 8], atol=1e-6) != reached
    assert not torch.allclose(first[..., 8, 15], second[..., 8, 15], atol=1e-3)


def test_where_the_lookup_is_sure_the_code_stays():
    sure = torch.zeros(SIDE, SIDE)
    sure[:, 8:] = 1
    tokens = tokens_of(noise(0), sure)
    moved, (taken,) = blend_codes(tokens, [person_of(noise(0) + 0.5 * noise(1))], 1.0)
    assert torch.equal(moved.code_latent[..., 8:], tokens.code_latent[..., 8:]) and not taken[..., 8:].any()
    assert taken[..., :8].mean() > 0.3


def test_what_does_not_match_is_not_taken():
    """The face turned inside out is as unlike it as can be, everywhere."""
    face = torch.ones(1, 8, SIDE, SIDE) * torch.linspace(-1, 1, SIDE)[:, None]
    tokens = tokens_of(face)
    moved, (taken,) = blend_codes(tokens, [person_of(-face)], 1.0)
    outer = [0, 1, 2, 3, 4, 11, 12, 13, 14, 15]
    assert torch.equal(moved.code_latent[..., outer, :], face[..., outer, :]) and not taken[:, outer].any()


def test_neither_colour_nor_light_is_taken():
    face, photograph = noise(0), noise(1)
    brighter = photograph * 3 + 5
    first, second = (blend_codes(tokens_of(face), [person_of(p)], 1.0)[0].code_latent for p in (photograph, brighter))
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)


def test_weights_share_out_what_is_taken():
    photograph = noise(0) + 0.5 * noise(1)
    twice = person_of(photograph.expand(2, -1, -1, -1), (1.0, 3.0))
    moved, (taken,) = blend_codes(tokens_of(noise(0)), [twice], 1.0)
    torch.testing.assert_close(taken[1], 3 * taken[0])
    alone, (whole,) = blend_codes(tokens_of(noise(0)), [person_of(photograph)], 1.0)
    torch.testing.assert_close(taken.sum(0), whole[0])
    torch.testing.assert_close(moved.code_latent, alone.code_latent)
    assert whole.min() >= 0 and whole.max() <= 1


def test_each_face_takes_from_its_own_person_and_nobody_from_none():
    tokens = tokens_of(noise(0, 3, 8, SIDE, SIDE))
    people = [person_of(noise(1)), None, person_of(noise(2, 2, 8, SIDE, SIDE))]
    moved, taken = blend_codes(tokens, people, 1.0)
    assert [len(t) for t in taken] == [1, 0, 2] and taken[1].shape == (0, SIDE, SIDE)
    assert torch.equal(moved.code_latent[1], tokens.code_latent[1])
    for n in (0, 2):
        alone, (its,) = blend_codes(tokens_of(tokens.code_latent[n : n + 1]), [people[n]], 1.0)
        assert torch.equal(moved.code_latent[n], alone.code_latent[0]) and torch.equal(taken[n], its)
        assert not torch.equal(moved.code_latent[n], tokens.code_latent[n])
    nobody, taken = blend_codes(tokens_of(tokens.code_latent[:0]), [], 1.0)
    assert nobody.code_latent.shape == (0, 8, SIDE, SIDE) and taken == []
    with pytest.raises(ValueError, match="shorter"):
        blend_codes(tokens, people[:2], 1.0)


def test_codeformer_draws_what_was_blended(tiny_codeformer):
    restorer = TokenRestorer(tiny_codeformer, "CodeFormer", "", "0" * 16)
    pixels = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(3))
    tokens = encode_tokens(crops_of(pixels[:1]), restorer)
    reference = person_of(restorer.encode(pixels[1:], Lookup())[1])
    calls = []
    tokens = dataclasses.replace(tokens, code_latent=tokens.code_latent.requires_grad_())
    moved, again = (blend_codes(tokens, [reference], 1.0, progress=lambda: calls.append(1))[0] for _ in range(2))
    assert torch.equal(moved.code_latent, again.code_latent) and not moved.code_latent.requires_grad and len(calls) == 2
    assert moved.content is tokens.content and moved.logits is tokens.logits and moved.skips is tokens.skips
    blind, drawn = decode_tokens(tokens), decode_tokens(moved)
    assert drawn.shape == blind.shape and (drawn - blind).abs().max() > 1e-3
