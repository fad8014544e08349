"""Refinement as a setting, and what is said of each face."""

import pytest
import torch
from people import ColourEmbedder, Giving
from resemblance.core import refinement as refinement_module
from resemblance.core.faces.crop import aligned_crops
from resemblance.core.refinement import Refined, RefinedFace, Refinement, refine_faces, refined_faces
from resemblance.core.reports import refined_record
from resemblance.core.restorers.tokens import encode_tokens


@pytest.fixture
def tokens():
    crops = aligned_crops(torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(0)))
    return encode_tokens(crops, Giving(prior=True))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 9}, "Got 9 steps of refinement; expected 0"),
        ({"steps": -1}, "Got -1 steps of refinement"),
        ({"identity": 1.5}, "strength of the identity was 1.5; expected 0 to 1"),
        ({"identity": float("nan")}, "strength of the identity was nan"),
        ({"seed": -1}, "seed was -1; expected 0 to"),
        ({"seed": 2**64}, "seed was 18446744073709551616; expected 0 to"),
        ({"candidates": 0}, "Got 0 candidates; expected 1 to 8"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(ValueError, match=words):
        Refinement(**settings)


def test_the_largest_seed_can_be_used(tokens):
    largest, smaller = (refine_faces(tokens, Refinement(1, seed=2**64 - n))[0].content for n in (1, 2))
    assert not torch.equal(largest, smaller)


def test_steps_left_open_are_the_restorers_own(monkeypatch):
    able, unable = Giving(prior=True), Giving()
    monkeypatch.setattr(refinement_module, "OWN_STEPS", 3)
    assert Refinement(identity=0.5, seed=4).settled(able) == Refinement(3, 0.5, 4)
    assert Refinement().settled(unable).steps == 0
    for asked in (0, 5):
        assert Refinement(asked).settled(able).steps == asked
    assert Refinement(0).settled(unable).steps == 0
    with pytest.raises(ValueError, match=r"'giving' has no prior over clean latents .* built-in restorer, or leave"):
        Refinement(1).settled(unable)


def test_without_steps_nothing_is_done(tokens):
    assert refine_faces(tokens, Refinement(0, identity=1.0, candidates=8)) == (tokens, [None, None])


def test_what_came_of_each_face(tokens):
    refined, faces = refine_faces(tokens, Refinement(1, candidates=2), reader=ColourEmbedder())
    assert len(refined) == 2 and all(face.stopped is None and face.spread > 0 for face in faces)
    # Half the face differs by 0.3 between candidates: a mask that is even weighs both halves alike.
    spread = torch.zeros(2, 1, 512, 512)
    spread[1, ..., :256] = 0.3
    even = tokens.crops.masks * 0 + 0.5
    crops = type(tokens.crops)(**(vars(tokens.crops) | {"masks": even}))
    given = Refined(type(tokens)(**(vars(tokens) | {"crops": crops})), spread, spread, (None, 1), ((0, "broken"),))
    assert refined_faces(given) == [
        RefinedFace(None, "broken", 0.0),
        RefinedFace(1, None, pytest.approx(0.15, abs=1e-5)),
    ]
    assert refined_record(RefinedFace(1, None, 0.123456)) == {"candidate": 1, "stopped": None, "spread": 0.1235}
    assert refined_record(RefinedFace(None, "broken", None)) == {"candidate": None, "stopped": "broken", "spread": None}
