import itertools
import logging
import math
from dataclasses import replace

import pytest
import torch
from people import ColourEmbedder, both, calibrated
from resemblance.core.faces.crop import aligned_crops, pick_crops
from resemblance.core.records import FaceQuality, Person, References
from resemblance.core.references.matching import (
    Match,
    labelled,
    labels_or_matches,
    linked_faces,
    look_at,
    match_faces,
    match_looks,
    match_people,
)
from torch.nn import functional as F

GOOD, RUINED = FaceQuality(1.0, 126.0, 0.0, 0.1), FaceQuality(0.2, 126.0, 0.0, 0.9)


def person(name, *embeddings, weights=None, identity=None):
    embeddings = torch.tensor(embeddings)
    n = len(embeddings)
    latent = torch.zeros(n, 1, 1, 1)
    faces = torch.zeros(n, 3, 512, 512)
    identity = embeddings if identity is None else torch.tensor(identity)
    return Person(name, faces, latent, latent, {}, identity, embeddings, weights or (1.0,) * n, ("x",) * n)


def known(*people, embedder="built-in", by=("c" * 16, "c" * 16)):
    return References(people, "0" * 16, embedder, by)


def direction(degrees):
    return (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0)


ANNA, BOB = person("anna", direction(0)), person("bob", direction(90))
BOTH = known(ANNA, BOB)


def match(evidence, images=None, references=BOTH, threshold=None, manual=None):
    """Matches by evidence; cosines are a tenth of it."""
    evidence = torch.tensor(evidence, dtype=torch.float32).reshape(len(evidence), len(references.people))
    return match_people(evidence, evidence / 10, images or [0] * len(evidence), references, threshold, manual)


def names(*args, **options):
    return [found.person for found in match(*args, **options)]


def test_each_face_to_its_own():
    first, second = match([[-3, 2], [5, -2]])
    assert (first.person, second.person) == ("bob", "anna")
    assert (first.chance, second.chance) == pytest.approx(exact([[-3, 2], [5, -2]], [1, 0]), abs=0.01)
    assert first.reason == "bob, 97% sure" and first.score == pytest.approx(0.2) and not first.by_hand


def exact(evidence, chosen):
    """The chances that faces show the people chosen, by counting all assignments in which nobody is two faces."""
    faces, people = len(evidence), len(evidence[0])
    prior = 0.9 / max(faces, people)
    shares = []
    for who in itertools.product(range(people + 1), repeat=faces):
        named = [p for p in who if p < people]
        if len(set(named)) == len(named):
            odds = [1 - prior * people if p == people else prior * math.exp(evidence[n][p]) for n, p in enumerate(who)]
            shares.append((who, math.prod(odds)))
    total = sum(share for _, share in shares)
    return [sum(share for who, share in shares if who[n] == p) / total for n, p in enumerate(chosen)]


def test_a_face_that_may_be_several_people_is_nobodys():
    six = known(*(person(f"person {n}", direction(10 * n)) for n in range(6)))
    assert names([[0] * 6], references=six) == [None]  # each of six has a chance of 15%
    assert names([[0, 0], [0, 0]]) == [None, None]  # either way round is as likely
    # What one person's certain face leaves over makes the other's.
    found = match([[5, 4], [4, -6]])
    assert [one.person for one in found] == ["bob", "anna"]
    assert [one.chance for one in found] == pytest.approx(exact([[5, 4], [4, -6]], [1, 0]), abs=0.1)


@pytest.mark.parametrize(("evidence", "person", "sure"), [(-1, "anna", 0.768), (-4, None, 0.1415)])
def test_one_face_and_one_person_are_that_person_unless_much_speaks_against_it(evidence, person, sure):
    (found,) = match([[evidence]], references=known(ANNA))
    assert found.person == person and found.chance == pytest.approx(sure, abs=1e-3)
    if person:
        assert found.reason == "anna, 77% sure"
    else:
        assert "anna, 14% sure, 50% needed" in found.reason and "by hand" in found.reason


def test_a_crowd_makes_nobody_likely():
    crowd = match([[1]] * 6, references=known(ANNA))
    assert [found.person for found in crowd] == [None] * 6
    assert [found.chance for found in crowd] == pytest.approx(exact([[1]] * 6, [0] * 6), abs=0.05)
    assert names([[1]] * 5 + [[5]], references=known(ANNA)) == [None] * 5 + ["anna"]


def test_together_as_likely_as_can_be():
    # The first face is likeliest anna, and would leave the second with nobody.
    assert names([[5, 4], [4, -6]]) == ["bob", "anna"]
    # But a good match is not given up for two poor ones.
    assert names([[5, -1.4], [-1.4, -9]]) == ["anna", None]


def test_a_person_is_in_a_photograph_once_unless_it_is_clear():
    sheet = match([[7], [7], [3]], [0, 0, 0], known(ANNA))
    assert [found.person for found in sheet] == ["anna", "anna", None]
    once, again, doubtful = sheet
    # Either of the two is hers; that both are has a chance of 0.02 before they are looked at.
    assert (once.chance, again.chance) == pytest.approx((1 / (1 + 49 * math.exp(-7)),) * 2, rel=1e-5)
    assert "the likeliest is anna, 2% sure" in doubtful.reason  # the others have her
    assert names([[7], [3]], [0, 0], known(ANNA)) == ["anna", None]
    assert names([[7], [3]], [0, 1], known(ANNA)) == ["anna", "anna"]  # in another photograph


@pytest.mark.parametrize(("threshold", "person"), [(0.7, "anna"), (0.8, None), (None, "anna")])
def test_the_threshold_is_a_chance(threshold, person):
    assert names([[-1]], references=known(ANNA), threshold=threshold) == [person]


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 50])
def test_a_threshold_that_is_no_chance(threshold):
    with pytest.raises(ValueError, match=f"threshold of matching was {threshold}; expected a chance above 0 and below"):
        match([[0, 0]], threshold=threshold)


def test_by_hand_comes_first(caplog):
    with caplog.at_level(logging.WARNING):
        matches = match([[-3, 3], [3, -3], [3, -5]], manual={0: "anna", 1: None})
    assert [found.person for found in matches] == ["anna", None, None]
    named, nobody, other = matches
    # 97 to 3 that the name is right, before the face is looked at.
    assert named.reason == "named by hand" and named.chance == pytest.approx(1 / (1 + math.exp(3) * 3 / 97), rel=1e-5)
    assert named.by_hand and nobody.by_hand and not other.by_hand
    assert nobody.reason == "named as nobody by hand" and (nobody.chance, nobody.score) == (None, None)
    assert caplog.text == ""
    with pytest.raises(ValueError, match="'zoe' is not among the people of the references; expected one of anna, bob"):
        match([[0, 0]], manual={0: "zoe"})


def test_a_name_that_much_speaks_against_holds_and_is_doubted(caplog):
    with caplog.at_level(logging.WARNING):
        (found,) = match([[-7, 7]], manual={0: "anna"})
    assert found.person == "anna" and found.by_hand
    assert found.chance == pytest.approx(1 / (1 + math.exp(7) * 3 / 97), rel=1e-5) and found.chance < 0.5
    assert found.reason == "named by hand, but probably somebody else: 3% likely to be anna"
    assert "probably somebody else: 3% likely to be anna" in caplog.text


def test_nobody_and_no_faces():
    (found,) = match([[]], references=known())
    assert (found.person, found.chance, found.score) == (None, None, None) and "nobody" in found.reason
    assert match([]) == ()


def test_a_face_carries_whom_it_shows_and_how_sure_that_is():
    face = aligned_crops(torch.zeros(1, 3, 512, 512)).faces[0]
    shown = labelled(face, Match("anna", 0.8, 0.5, "", True))
    assert (shown.person, shown.match_chance, shown.by_hand) == ("anna", 0.8, True)
    shown = labelled(shown, Match(None, 0.3, 0.2, ""))
    assert (shown.person, shown.match_chance, shown.by_hand) == ("", None, False)


# Faces


def colours(*colour):
    return torch.tensor(colour)[:, :, None, None].expand(-1, -1, 512, 512)


def test_faces_are_embedded_and_numbered_in_their_photographs():
    red, blue = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
    people = [person(name, ColourEmbedder().embed(colours(c))[0].tolist()) for name, c in (("a", red), ("b", blue))]
    references = known(*people)
    crops = aligned_crops(colours(blue, red))  # each is number 0 of a photograph of its own
    assert [m.person for m in match_faces(crops, references, both(ColourEmbedder()))] == ["b", "a"]
    assert [m.person for m in match_faces(crops, references, both(ColourEmbedder()), manual={0: "a"})] == ["a", "a"]
    assert [m.person for m in match_faces(crops, references, both(ColourEmbedder()), 0.5, {1: "a"})] == ["b", "a"]
    assert match_faces(crops, references, both(ColourEmbedder()))[0].score == pytest.approx(1, abs=1e-4)
    assert [m.person for m in match_faces(crops, known(), both(ColourEmbedder()))] == [None, None]


def test_other_embedders_are_refused():
    crops = aligned_crops(colours((0.9, 0.1, 0.1)))
    with pytest.raises(ValueError, match="embedded by 'other', but this is 'built-in'"):
        match_faces(crops, known(ANNA, embedder="other"), both(ColourEmbedder()))
    with pytest.raises(ValueError, match=r"weights a{16} of the embedder 'built-in', but these are c{16}; expected"):
        match_faces(crops, known(ANNA, by=("a" * 16, "c" * 16)), both(ColourEmbedder()))
    other = ByRed("insightface", "i" * 16, 1)
    with pytest.raises(ValueError, match=r"weights b{16} of the embedder 'built-in', but these are c{16}"):
        match_faces(
            crops,
            known(ANNA, embedder="insightface", by=("i" * 16, "b" * 16)),
            both(ColourEmbedder(), other),
        )


class ByRed:
    """Embeds a face as a direction: as many degrees as its red is hundredths, by `times`. Remembers what it saw.

    Of a cosine of 0.8 it cannot tell whether it is the person.
    """

    network = None
    calibration = calibrated(20, 0.8)

    def __init__(self, name="built-in", fingerprint="c" * 16, times=1):
        self.name, self.fingerprint, self.times, self.seen = name, fingerprint, times, []

    def embed(self, faces):
        degrees = (100 * self.times * faces[:, 0].mean((1, 2))).round()
        self.seen.append(degrees.tolist())
        return F.normalize(torch.tensor([direction(float(d)) for d in degrees]).reshape(-1, 3))


def frames(*degrees, boxes=None, images=None, tracks=None):
    """Faces of a batch of frames, of such degrees by :class:`ByRed`."""
    crops = aligned_crops(colours(*[(d / 100, 0.0, 0.0) for d in degrees]))
    faces = []
    for n, face in enumerate(crops.faces):
        box = boxes[n] if boxes else (0.0, 0.0, 100.0, 100.0)
        image = images[n] if images else n
        faces.append(replace(face, box=box, image=image, quality=RUINED, track=tracks[n] if tracks else None))
    return replace(crops, faces=tuple(faces), photos=((512, 512),) * (max(f.image for f in faces) + 1))


def chances(crops):
    return [found.chance for found in match_faces(crops, known(ANNA), both(ByRed()))]


def alone(*degrees):
    """The chance that the only face of a photograph shows the only person there is, for each of a few evidences."""
    evidence = sum(20 * (math.cos(math.radians(d)) - 0.8) for d in degrees) / len(degrees)
    return 1 / (1 + math.exp(-evidence) / 9)


def test_a_face_that_stays_in_place_is_judged_by_all_frames():
    # 50 degrees alone are refused (28%), 10 are all but certain; they are 40 degrees apart, a cosine of 0.77.
    moved = [(0.0, 0.0, 100.0, 100.0), (0.0, 30.0, 100.0, 130.0)]  # 70 of 130 parts are common
    together = frames(50, 10, boxes=moved)
    assert chances(together) == pytest.approx([alone(50, 10)] * 2, rel=1e-3)
    assert [found.person for found in match_faces(together, known(ANNA), both(ByRed()))] == ["anna", "anna"]
    apart = frames(50, 10, boxes=[moved[0], (0.0, 40.0, 100.0, 140.0)])  # 60 of 140 are
    assert chances(apart) == pytest.approx([alone(50), alone(10)], rel=1e-3)
    assert [found.person for found in match_faces(apart, known(ANNA), both(ByRed()))] == [None, "anna"]


def test_faces_are_not_one_that_are_not_alike_or_not_in_frames_that_follow():
    assert chances(frames(50, 0)) == pytest.approx([alone(50), alone(0)], rel=1e-3)  # a cosine of 0.64
    assert chances(frames(50, 10, images=[0, 2])) == pytest.approx([alone(50), alone(10)], rel=1e-3)
    assert chances(frames(50, 10, 10)) == pytest.approx([alone(50, 10, 10)] * 3, rel=1e-3)


def test_photographs_may_be_looked_at_one_by_one():
    crops, references = frames(50, 10, 70), known(ANNA)
    looks = [look_at(pick_crops(crops, [n]), references, both(ByRed())) for n in range(3)]
    assert match_looks(looks, references) == match_faces(crops, references, both(ByRed()))
    assert match_looks(looks, references, manual={0: None})[0].reason == "named as nobody by hand"


def test_faces_of_one_track_are_judged_together():
    far = [(0.0, 0.0, 50.0, 50.0), (300.0, 0.0, 350.0, 50.0), (0.0, 0.0, 50.0, 50.0)]
    one, other = alone(50, 0), alone(50)
    assert chances(frames(50, 0, 50, boxes=far, images=[0, 5, 6], tracks=[1, 1, 2])) == pytest.approx(
        [one, one, other], rel=1e-3
    )
    # Tracks are known better than boxes.
    assert chances(frames(50, 10, tracks=[1, 2])) == pytest.approx([alone(50), alone(10)], rel=1e-3)
    faces = frames(50, 0, 50, 10, tracks=[3, None, 3, None], images=[0, 0, 1, 1]).faces
    assert linked_faces(faces, ByRed().embed(colours(*[(d / 100, 0, 0) for d in (50, 0, 50, 10)]))) == [[0, 2], [1, 3]]


def test_another_embedder_decides_on_clean_faces_and_the_built_in_one_on_damaged_ones():
    # insightface's takes them for 40 degrees apart where the built-in one sees 20, and its person lies elsewhere.
    insightface, builtin = ByRed("insightface", "i" * 16, times=2), ByRed()
    anna = person("anna", direction(50), identity=[direction(0)])
    references = known(anna, embedder="insightface", by=("i" * 16, "c" * 16))
    crops = frames(20, 20, images=[0, 9])
    crops = replace(crops, faces=(replace(crops.faces[0], quality=GOOD), crops.faces[1]))
    clean, ruined = match_faces(crops, references, both(builtin, insightface))
    assert clean.score == pytest.approx(math.cos(math.radians(10)), abs=1e-5)
    assert clean.chance == pytest.approx(alone(10), rel=1e-3)
    assert ruined.score == pytest.approx(math.cos(math.radians(20)), abs=1e-5)
    assert ruined.chance == pytest.approx(alone(20), rel=1e-3)
    assert insightface.seen == [[40]]


def test_labels_hold_where_there_are_any():
    references = known(person("a", (1.0, 0.0, 0.0)))
    crops = aligned_crops(colours((0.9, 0.1, 0.1), (0.1, 0.1, 0.9)))
    first, second = crops.faces
    given = replace(
        crops, faces=(replace(first, person=""), replace(second, person="a", match_chance=0.7, by_hand=True))
    )
    assert [m.person for m in labels_or_matches(crops, references, both(ColourEmbedder()))] == ["a", None]
    nobody, a = labels_or_matches(given, references, both(ColourEmbedder()))
    assert nobody == Match(None, None, None, "matched before")
    assert a == Match("a", 0.7, None, "matched before", True)
    stranger = replace(crops, faces=(first, replace(second, person="z")))
    with pytest.raises(ValueError, match="'z' is not among"):
        labels_or_matches(stranger, references, both(ColourEmbedder()))


NAN = float("nan")


@pytest.mark.parametrize(
    "bad", [torch.full((1, 2), NAN), torch.full((1, 2), math.inf), torch.zeros(1, 3), torch.zeros(2)]
)
def test_evidence_that_is_none(bad):
    good = torch.zeros(1, 2)
    for evidence, scores in ((bad, good), (good, bad)):
        with pytest.raises(ValueError, match=r"of 1 faces and 2 people has the shape .*expected \(1, 2\) numbers"):
            match_people(evidence, scores, [0], BOTH)


@pytest.mark.parametrize("place", [-1, 1, 99])
def test_places_of_no_face_cannot_be_named(place):
    with pytest.raises(ValueError, match=rf"Place {place} was named by hand; expected 0 to 0, one of the faces"):
        match_people(torch.zeros(1, 2), torch.zeros(1, 2), [0], BOTH, manual={place: "anna"})


def test_no_looks_are_no_matches():
    assert match_looks([], BOTH) == ()


class Blind(ColourEmbedder):
    """An embedder whose numbers overflow."""

    def embed(self, faces):
        return super().embed(faces) * NAN


def test_embeddings_that_are_no_numbers():
    crops = aligned_crops(torch.rand(1, 3, 512, 512))
    with pytest.raises(
        ValueError, match=r"evidence of 1 faces and 2 people .*NaN.*Check the pictures and the embedder"
    ):
        match_faces(crops, BOTH, both(Blind()))


def test_embeddings_of_another_length():
    crops = aligned_crops(torch.rand(1, 3, 512, 512))
    with pytest.raises(ValueError, match=r"references of 'anna' have 4 numbers; expected 3, as this embedder makes"):
        look_at(crops, known(person("anna", [1.0, 0.0, 0.0, 0.0])), both(ColourEmbedder()))
