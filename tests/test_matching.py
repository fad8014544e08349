import math
from dataclasses import replace

import pytest
import torch
from people import ColourEmbedder
from resemblance.core.crop import aligned_crops
from resemblance.core.matching import labels_or_matches, likeness, match_faces, match_people, parse_manual
from resemblance.core.records import Person, References


def person(name, *embeddings, weights=None):
    embeddings = torch.tensor(embeddings)
    n = len(embeddings)
    latent = torch.zeros(n, 1, 1, 1)
    faces = torch.zeros(n, 3, 512, 512)
    return Person(name, faces, latent, latent, {}, embeddings, embeddings, weights or (1.0,) * n, ("x",) * n)


def direction(degrees):
    return (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0)


ANNA, BOB = person("anna", direction(0)), person("bob", direction(90))
BOTH = References((ANNA, BOB), "0" * 16, "built-in")


def faces(*degrees):
    return torch.tensor([direction(d) for d in degrees])


def names(*args, **options):
    return [match.person for match in match_people(*args, **options)]


def test_each_face_to_its_own():
    matches = match_people(faces(80, 20), [0, 0], BOTH, 0.5)
    assert [match.person for match in matches] == ["bob", "anna"]
    assert matches[0].score == pytest.approx(math.cos(math.radians(10)), abs=1e-6)
    assert "0.98" in matches[0].reason and "0.50" in matches[0].reason


def test_a_person_is_in_a_photograph_at_most_once():
    # all are most like anna; in the second photograph she may be again
    matches = match_people(faces(10, 5, 20), [0, 0, 1], BOTH, 0.5)
    assert [match.person for match in matches] == [None, "anna", "anna"]
    assert "anna" in matches[0].reason and "another face" in matches[0].reason


def test_together_as_alike_as_can_be():
    # the first face is most like anna (cosine 0.77), and would leave the second (0.71) with nobody
    assert names(faces(40, -45), [0, 0], BOTH, 0.4) == ["bob", "anna"]
    # but a good match is not given up for two poor ones
    assert names(faces(2, -60), [0, 0], References((ANNA, person("bob", direction(68))), "", ""), 0.4) == ["anna", None]


def test_below_the_threshold_is_nobody():
    (match,) = match_people(faces(60.1), [0], References((ANNA,), "", ""), 0.5)
    assert match.person is None and match.score == pytest.approx(0.498, abs=1e-3)
    assert "anna" in match.reason and "0.50 needed" in match.reason and "by hand" in match.reason
    assert names(faces(59.9), [0], References((ANNA,), "", ""), 0.5) == ["anna"]
    assert names(torch.tensor([[0.5, 0.5, 0.0]]), [0], References((ANNA,), "", ""), math.sqrt(0.5) - 1e-6) == ["anna"]


def test_by_hand_comes_first():
    matches = match_people(faces(0, 0, 90), [0, 0, 0], BOTH, 0.5, {0: "bob", 1: None})
    assert [match.person for match in matches] == ["bob", None, None]
    assert "by hand" in matches[0].reason and matches[0].score == pytest.approx(0, abs=1e-6)
    assert "by hand" in matches[1].reason and "another face" in matches[2].reason
    with pytest.raises(ValueError, match="'zoe' is not among the people of the references; expected one of anna, bob"):
        match_people(faces(0), [0], BOTH, 0.5, {0: "zoe"})


def test_nobody_and_no_faces():
    (match,) = match_people(faces(0), [0], References((), "", ""), 0.5)
    assert (match.person, match.score) == (None, None) and "nobody" in match.reason
    assert match_people(torch.zeros(0, 3), [], BOTH, 0.5) == ()
    with pytest.raises(ValueError, match="threshold of matching was 50"):
        match_people(faces(0), [0], BOTH, 50)


def test_a_person_is_the_weighted_mean_of_the_photographs():
    # 3 parts along 0 degrees and 1 part along 90 lie at atan(1/3)
    mixed = person("mixed", direction(0), direction(90), weights=(3.0, 1.0))
    found = likeness(2 * faces(0, math.degrees(math.atan(1 / 3))), References((mixed,), "", ""))
    assert found.flatten().tolist() == pytest.approx([3 / math.sqrt(10), 1.0])
    assert likeness(faces(0), References((), "", "")).shape == (1, 0)


def colours(*colour):
    return torch.tensor(colour)[:, :, None, None].expand(-1, -1, 512, 512)


def test_faces_are_embedded_and_numbered_in_their_photographs():
    red, blue = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
    people = [person(name, ColourEmbedder().embed(colours(c))[0].tolist()) for name, c in (("a", red), ("b", blue))]
    references = References(tuple(people), "", "built-in")
    crops = aligned_crops(colours(blue, red))  # each is number 0 of a photograph of its own
    assert [m.person for m in match_faces(crops, references, ColourEmbedder())] == ["b", "a"]
    assert [m.person for m in match_faces(crops, references, ColourEmbedder(), manual={0: "a"})] == ["a", "a"]
    assert [m.person for m in match_faces(crops, references, ColourEmbedder(), 0.5, {1: "a"})] == ["b", "a"]
    with pytest.raises(ValueError, match="embedded by 'other'"):
        match_faces(crops, References(tuple(people), "", "other"), ColourEmbedder())


def test_labels_hold_where_there_are_any():
    references = References((person("a", (1.0, 0.0, 0.0)),), "", "built-in")
    crops = aligned_crops(colours((0.9, 0.1, 0.1), (0.1, 0.1, 0.9)))
    labelled = replace(crops, faces=(replace(crops.faces[0], person=""), replace(crops.faces[1], person="a")))
    assert [m.person for m in labels_or_matches(crops, references, ColourEmbedder())] == ["a", None]
    assert [m.person for m in labels_or_matches(labelled, references, ColourEmbedder())] == [None, "a"]
    stranger = replace(crops, faces=(crops.faces[0], replace(crops.faces[1], person="z")))
    with pytest.raises(ValueError, match="'z' is not among"):
        labels_or_matches(stranger, references, ColourEmbedder())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("1=anna", {1: "anna"}),
        (" 1 = Anna Maria , 2=none,", {1: "Anna Maria", 2: None}),
        ("0=a\n3=b", {0: "a", 3: "b"}),
    ],
)
def test_manual(text, expected):
    assert parse_manual(text) == expected


@pytest.mark.parametrize("text", ["anna", "1=", "-1=anna", "1=a, 1=b", "x=anna"])
def test_manual_that_cannot_be_read(text):
    with pytest.raises(ValueError, match=r"The matches were .* expected numbers of faces and names"):
        parse_manual(text)
