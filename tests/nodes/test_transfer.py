import json

import pytest
import torch
from by_hand import labelled


def test_transfer_changes_the_matched_faces_alone(run, codeformer, known, two_people):
    crops = run("CropFaces", faces=two_people.faces, image=two_people.damaged, size=448, margin=0.25)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    blind = run("DecodeTokens", tokens=tokens)[0]
    anna = run(
        "MatchReferences",
        faces=two_people.faces,
        image=two_people.damaged,
        references=known.references,
        manual="2=none",
    )[0]
    labelled = run(
        "EncodeTokens",
        crops=run("CropFaces", faces=anna, image=two_people.damaged, size=448, margin=0.25)[0],
        restorer=codeformer,
    )[0]
    for given, wanted in ((tokens, ["anna", "bob"]), (labelled, ["anna", None])):
        result, picture, report = run("TransferTexture", tokens=given, references=known.references).args
        entries = json.loads(report)
        assert [entry["person"] for entry in entries] == wanted
        assert [list(entry["taken"]) for entry in entries] == [
            [f"{name} 1", f"{name} 2"] if name else [] for name in wanted
        ]
        assert picture.shape == (2, 448, 448, 3)
        decoded = run("DecodeTokens", tokens=result)[0]
        assert [torch.equal(*pair) for pair in zip(decoded, blind, strict=True)] == [name is None for name in wanted]
        # Grey where nothing was taken: in the margin, and all over a face that is nobody's.
        coloured = (picture.amax(-1) - picture.amin(-1)) > 0.01
        assert not coloured[:, :60].any() and [bool(face.any()) for face in coloured] == [
            name is not None for name in wanted
        ]
        nothing = run("TransferTexture", tokens=given, references=known.references, strength=0.0)[0]
        assert torch.equal(run("DecodeTokens", tokens=nothing)[0], blind)


def test_references_of_another_restorer_are_refused(run, known, two_people):
    crops = run("CropFaces", faces=two_people.faces, image=two_people.damaged)[0]
    tokens = run("EncodeTokens", crops=crops)[0]
    for name, given in (
        ("TransferTexture", {"tokens": tokens}),
        ("RestoreCrops", {"crops": crops}),
        ("RestoreFaces", {"image": two_people.damaged}),
    ):
        with pytest.raises(ValueError, match=r"references were encoded by the restorer .* expected the same one"):
            run(name, references=known.references, **given)


def test_less_is_taken_where_it_is_not_sure_of_the_person(run, person):
    from resemblance.core.faces.evidence import amount

    def transferred(tokens):
        result, _, report = run("TransferTexture", tokens=tokens, references=person.references).args
        assert result.crops is tokens.crops  # whom a face shows is for each node to find
        return result.reference.gates[32][:, 0].float(), json.loads(report)[0]

    trusted, _ = transferred(labelled(person.tokens, None))
    for sure in (0.6, 1.0):
        gate, entry = transferred(labelled(person.tokens, sure))
        assert entry["chance"] == sure and entry["reason"] == "matched before"
        torch.testing.assert_close(gate, amount(sure) * trusted, rtol=1e-2, atol=1e-3)
    gate, entry = transferred(person.tokens)
    assert entry["person"] == "anna" and 0.5 < entry["chance"] <= 1
    torch.testing.assert_close(gate, amount(entry["chance"]) * trusted, rtol=1e-2, atol=2e-3)
