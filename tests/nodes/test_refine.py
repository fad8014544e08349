import json

import pytest
import torch
from by_hand import found, labelled


def test_refining_stands_between_encoding_and_drawing(run, person):
    from resemblance.core.refinement import RefinementOptions, refine_tokens

    tokens = person.tokens
    same, _, _, report = run("RefineLatent", tokens=tokens, steps=0, identity=1.0, candidates=8).args
    assert same is tokens and json.loads(report)[0]["candidate"] is None
    refined, mask, invented, report = run("RefineLatent", tokens=tokens, steps=2, seed=5).args
    expected = refine_tokens(tokens, RefinementOptions(2, seed=5))
    assert torch.equal(refined.content, expected.tokens.content) and not torch.equal(refined.content, tokens.content)
    assert json.loads(report) == [
        {"image": 0, "index": 0, "number": 1, "candidate": 0, "stopped": None, "spread": None}
    ]
    assert torch.allclose(mask, expected.mask[:, 0].clamp(0, 1)) and mask.shape == (1, 448, 448)
    assert not mask[:, :60].any() and mask[0, 224, 224] > 0.99 and mask.max() <= 1 and not invented.any()
    other = run("RefineLatent", tokens=tokens, steps=2)[0]
    assert not torch.equal(other.content, refined.content)
    drawn = run("DecodeTokens", tokens=other)[0]
    assert torch.allclose(drawn, run("RestoreCrops", crops=person.crops, refine=2)[0], atol=1e-6)


def test_several_candidates_show_what_is_invented(run, person):
    from resemblance.core.refinement import RefinementOptions, refine_tokens
    from resemblance.nodes import models as ours

    given = {"tokens": person.tokens, "steps": 1, "candidates": 2}
    _, _, invented, report = run("RefineLatent", **given).args
    expected = refine_tokens(person.tokens, RefinementOptions(1, candidates=2), None, ours.get_embedder("built-in"))
    assert torch.allclose(invented, (5 * expected.spread[:, 0]).clamp(0, 1)) and invented.any()
    (face,) = json.loads(report)
    assert face["candidate"] == expected.chosen[0] and 0 < face["spread"] < 1


def test_a_person_steers_as_the_host_runs_it(run, person):
    given = {"tokens": person.tokens, "steps": 1}
    free, steered = (run("RefineLatent", **given, identity=strength)[0] for strength in (0.0, 1.0))
    assert not torch.equal(free.content, steered.content)
    read, _, _, report = run("RefineLatent", **given, references=person.references).args
    assert not torch.equal(read.content, free.content) and read.reference is None
    assert json.loads(report)[0]["person"] == "anna"


def test_references_are_read_in_refining_as_far_as_it_is_sure(run, person):
    def refined(tokens):
        result, _, _, report = run("RefineLatent", tokens=tokens, steps=1, references=person.references).args
        assert result.crops is tokens.crops
        return result.content, json.loads(report)[0]["chance"]

    trusted, _ = refined(labelled(person.tokens, 1.0))
    assert not torch.equal(refined(labelled(person.tokens, 0.6))[0], trusted)
    found, chance = refined(person.tokens)
    assert torch.allclose(found, refined(labelled(person.tokens, chance))[0], atol=0.02)
    assert torch.equal(found, trusted) == (chance >= 0.9)


def test_refining_no_faces_gives_blank_maps(run, refining, photos):
    crops = run("CropFaces", faces=found(photos, []), image=photos, size=256)[0]
    tokens = run("EncodeTokens", crops=crops)[0]
    refined, mask, invented, report = run("RefineLatent", tokens=tokens, steps=2, candidates=2).args
    assert len(refined) == 0 and json.loads(report) == []
    assert mask.shape == invented.shape == (1, 256, 256) and not mask.any() and not invented.any()


def test_a_restorer_that_cannot_refine_says_so(run, codeformer, photos):
    crops = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    for name, given in (
        ("RefineLatent", {"tokens": tokens, "steps": 1}),
        ("RestoreCrops", {"crops": crops, "restorer": codeformer, "refine": 1}),
        ("RestoreFaces", {"image": photos, "restorer": codeformer, "refine": 1}),
    ):
        with pytest.raises(ValueError, match="'CodeFormer' has no prior over clean latents and cannot refine; use"):
            run(name, **given)
