import json
from dataclasses import replace

import pytest
import torch
from by_hand import people


def test_references_are_read_from_lists_of_any_size_and_added_to_others(known, two_people, codeformer):
    anna, bob = known.references.people
    assert [p.name for p in (anna, bob)] == ["anna", "bob"] and [len(anna), len(bob)] == [2, 2]
    assert known.report["people"] == {"anna": ["anna 1", "anna 2"], "bob": ["bob 1", "bob 2"]}
    assert known.report["restorer"] == codeformer.fingerprint and not known.report["refused"]
    # Of the photograph that shows both, each took their own face.
    assert (
        (anna.matching_embeddings[0] @ anna.matching_embeddings[1])
        > 0.5
        > (anna.matching_embeddings[1] @ bob.matching_embeddings[1])
    )


def test_photographs_of_one_name_belong_to_one_person(run, codeformer):
    first, second, third = run("ExamplePhoto", name="woman").args[2:]
    batch = torch.cat([first, second])
    references = run("EncodeReferences", image=batch, restorer=codeformer)[0]
    references = run("EncodeReferences", image=third, restorer=codeformer, references=references, weight=0.5)[0]
    (person,) = references.people
    assert person.name == "person" and person.weights == (1.0, 1.0, 0.5)
    assert person.sources == ("person 1", "person 2", "person 3")


def test_photographs_that_cannot_be_used_are_named(run, codeformer):
    good, blank = run("ExamplePhoto", name="woman")[2], torch.full((1, 96, 128, 3), 0.5)
    references, report = run("EncodeReferences", image=[blank, good], person="anna", restorer=codeformer).args
    assert [p.sources for p in references.people] == [("anna 2",)]
    (refused,) = json.loads(report)["refused"]
    assert refused["photograph"] == "anna 1" and "no face was found" in refused["reason"]
    with pytest.raises(ValueError, match=r"None of the photographs of 'anna' can be used \(anna 1: no face was found"):
        run("EncodeReferences", image=blank, person="anna", restorer=codeformer)


def test_references_may_be_read_by_insightface(run, codeformer, two_people, models_dir, assets):
    pytest.importorskip("insightface.model_zoo")
    from resemblance.core.training.assets import asset
    from resemblance.nodes import models as ours

    anna, bob, _ = two_people.references
    given = {"restorer": codeformer, "embedder": "insightface"}
    with pytest.raises(FileNotFoundError, match=r"'insightface' found no .*choose 'built-in'"):
        run("EncodeReferences", image=anna, person="anna", **given)
    folder = models_dir / "insightface" / "models" / "buffalo_s"
    folder.mkdir(parents=True)
    (folder / "w600k_mbf.onnx").write_bytes(asset("arcface", assets).read_bytes())
    known = run("EncodeReferences", image=anna, person="anna", **given)[0]
    insightface, builtin = map(ours.get_embedder, ("insightface", "built-in"))
    assert (known.embedder, known.embedded_by) == ("insightface", (insightface.fingerprint, builtin.fingerprint))
    (person,) = known.people
    assert torch.equal(person.matching_embeddings, insightface.embed(person.faces))
    assert torch.equal(person.identity_embeddings, builtin.embed(person.faces))
    # What is added is read by the same, whatever is chosen.
    both = run("EncodeReferences", image=bob, person="bob", references=known, **given | {"embedder": "built-in"})[0]
    assert both.embedder == "insightface" and both.embedded_by == known.embedded_by
    assert (
        both.people[1].matching_embeddings.shape == person.matching_embeddings.shape != person.identity_embeddings.shape
    )
    faces = run("MatchReferences", faces=two_people.faces, image=two_people.damaged, references=both)[0]
    assert people(faces) == ["anna", "bob"]


def test_faces_are_matched_by_likeness_and_by_hand(run, known, two_people, monkeypatch):
    given = {"faces": two_people.faces, "image": two_people.damaged, "references": known.references}

    def matched(**settings):
        faces, report = run("MatchReferences", **given, **settings).args
        entries = json.loads(report)
        assert [entry["person"] or "" for entry in entries] == people(faces)
        assert all(entry["reason"] for entry in entries)
        return people(faces)

    assert people(two_people.faces) == [None, None]
    assert matched() == ["anna", "bob"]
    shown, report = run("MatchReferences", **given).args
    assert [entry["chance"] for entry in json.loads(report)] == [round(face.match_chance, 3) for face in shown.faces]
    # Where a look says but a little, two faces and two people are told apart, but not surely.
    monkeypatch.setattr("resemblance.core.faces.evidence.CERTAIN", 1.0)
    assert matched() == matched(threshold=0.7) == ["anna", "bob"]
    assert matched(threshold=0.95) == ["", ""]
    assert matched(manual="1=none") == ["", "bob"]
    assert [face.by_hand for face in run("MatchReferences", **given, manual="1=none")[0].faces] == [True, False]
    assert matched(manual="1=bob, 2=anna") == ["bob", "anna"]
    monkeypatch.setattr("resemblance.core.faces.evidence.CERTAIN", 3.0)  # too little to be in two places
    given["references"] = replace(known.references, people=known.references.people[:1])
    assert matched() == ["anna", ""]
    assert matched(manual="2=anna") == ["", "anna"]
    given["references"] = known.references
    swapped = torch.cat([two_people.damaged, two_people.damaged.flip(2)])
    faces = run("DetectFaces", image=swapped, detector="built-in")[0]
    assert people(run("MatchReferences", **given | {"faces": faces, "image": swapped})[0]) == [
        "anna",
        "bob",
        "bob",
        "anna",
    ]


def test_frames_of_a_film_are_judged_together(run, known, two_people, monkeypatch):
    """A face that stays in place: what each frame says of it is one number in the end."""
    dark = two_people.damaged * 0.6 + 0.1
    film = torch.cat([two_people.damaged, dark])
    faces = run("DetectFaces", image=film, detector="built-in")[0]
    given = {"references": known.references}
    shown = run("MatchReferences", faces=faces, image=film, **given)[0].faces
    assert [face.person for face in shown] == ["anna", "bob"] * 2
    assert [face.match_chance for face in shown[:2]] == pytest.approx(
        [face.match_chance for face in shown[2:]], abs=1e-6
    )
    linked = []
    monkeypatch.setattr(
        "resemblance.core.references.matching.linked_faces", lambda faces, _: linked.append(len(faces)) or []
    )
    apart = run("MatchReferences", faces=faces, image=film, **given)[0].faces
    assert linked == [4] and [face.match_chance for face in apart] != [face.match_chance for face in shown]


def test_what_is_asked_of_references_must_be_there(run, codeformer, known, two_people):
    whole = {"image": two_people.damaged, "references": known.references}
    given = whole | {"faces": two_people.faces}
    for name, values, message in (
        ("MatchReferences", given | {"manual": "1=carl"}, "'carl' is not among the people .* one of anna, bob"),
        (
            "RestoreFaces",
            {"image": two_people.damaged, "references": known.references, "manual": "1=carl"},
            "'carl' is not among the people",
        ),
        (
            "MatchReferences",
            given | {"manual": "anna"},
            "The matches were 'anna'; expected numbers of faces, from 1, and names",
        ),
        ("MatchReferences", given | {"image": two_people.damaged[:, :99]}, "found in other photographs"),
        ("EncodeReferences", {"image": two_people.truth[:0], "restorer": codeformer}, "empty batch"),
        ("EncodeReferences", {"image": two_people.truth, "person": "", "restorer": codeformer}, "names no person"),
    ):
        with pytest.raises(ValueError, match=message):
            run(name, **values)
