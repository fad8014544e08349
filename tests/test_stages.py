"""The stages that faces go through, and what of them is made again."""

from dataclasses import replace

import pytest
import torch
from people import ColourEmbedder, Giving, Scenes, both
from resemblance.core.faces.crop import crop_faces
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.views import ReferencePhoto
from resemblance.core.refinement import RefinementOptions
from resemblance.core.restorers.tokens import encode_tokens, restore_tokens
from resemblance.core.stages import Given, Mix, draw_faces


@pytest.fixture(scope="module")
def restorer():
    return Giving(prior=True)


@pytest.fixture
def scenes(patterns):
    return Scenes()


@pytest.fixture
def crops(scenes):
    """A blurred anna and a blurred bob."""
    photo = scenes.photo("anna", "bob", blur=16)[None]
    return crop_faces(photo, scenes.detect(photo))


@pytest.fixture
def references(restorer, scenes):
    photos = [ReferencePhoto(scenes.photo(name, seed=1), name, name) for name in ("anna", "bob")]
    return encode_references(photos, restorer, both(ColourEmbedder()), scenes.detect)


class Memory:
    """Keeps every stage, and tells which were made since it was last asked."""

    def __init__(self):
        self.kept, self.made = {}, []

    def __call__(self, stage, made_from, make):
        if self.kept.get(stage, (None, None))[0] != made_from or stage not in self.kept:
            self.kept[stage] = made_from, make()
            self.made.append(stage)
        return self.kept[stage][1]

    def since(self):
        made, self.made = self.made, []
        return made


def test_nobody_is_the_blind_case(restorer, crops, references):
    drawn = draw_faces(crops, restorer, Mix(0.5, 0.5))
    by_hand = restorer.decode(restore_tokens(encode_tokens(crops, restorer, whole_skips=True), 0.5, 0.5))
    assert torch.equal(drawn.faces, by_hand)
    assert drawn.transferred is None and drawn.refined == [None, None]
    nobody = draw_faces(crops, restorer, Mix(0.5, 0.5), given=Given(references, [None, None]))
    assert torch.equal(nobody.faces, by_hand) and nobody.transferred is None


def test_each_stage_is_made_again_where_what_it_is_made_from_differs(restorer, crops, references):
    memory = Memory()

    def draw(crops=crops, mix=None, steps=0, people=("anna", None), strength=1.0):
        given = Given(references, people, strength)
        return draw_faces(crops, restorer, mix, RefinementOptions(steps), given, ColourEmbedder(), keep=memory)

    first = draw()
    assert memory.since() == ["encode", "transfer", "decode"]
    assert torch.equal(draw().faces, first.faces) and memory.since() == []
    draw(mix=Mix(0.5))
    assert memory.since() == ["decode"]
    draw(strength=0.5)
    assert memory.since() == ["transfer", "decode"]
    draw(people=("anna", "bob"))
    assert memory.since() == ["transfer", "decode"]
    draw(steps=1)
    assert memory.since() == ["refine", "transfer", "decode"]
    doubtful = replace(crops, faces=tuple(replace(face, match_chance=0.6) for face in crops.faces))
    draw(crops=doubtful)
    assert memory.since() == ["transfer", "decode"]
    assert len(memory.kept) == 4


def test_what_was_kept_gives_what_is_made(restorer, crops, references):
    memory = Memory()
    given = Given(references, ["anna", "bob"])
    for mix in (Mix(), Mix(0.2), Mix(0.2, 0.4)):
        kept = draw_faces(crops, restorer, mix, RefinementOptions(1), given, keep=memory)
        made = draw_faces(crops, restorer, mix, RefinementOptions(1), given)
        assert torch.equal(kept.faces, made.faces)
        assert kept.tokens.content_weight == made.tokens.content_weight


def test_tokens_are_small_where_they_are_kept_or_refined(restorer, crops):
    alone, kept = draw_faces(crops, restorer), draw_faces(crops, restorer, keep=Memory())
    refined = draw_faces(crops, restorer, refinement=RefinementOptions(1))
    assert {x.dtype for side, x in alone.tokens.skips.items() if side < 512} == {torch.float32}
    for drawn in (kept, refined):
        assert {x.dtype for side, x in drawn.tokens.skips.items() if side < 512} == {torch.bfloat16}


def test_steps_that_nobody_chose_are_refused(restorer, crops):
    with pytest.raises(ValueError, match="steps of refinement were None; expected a number"):
        draw_faces(crops, restorer, refinement=RefinementOptions())
