import math

import pytest
import torch
from people import COLOURS, hue, reasons
from resemblance.core.references.sorting import MOST


def test_among_several_faces_the_other_photographs_decide(encode, scenes):
    group = scenes.photo("bob", "anna", "cem", seed=3, scales=(1, 0.5, 0.9))
    found = encode({"group": group, "alone": scenes.photo("anna")})
    (anna,) = found.people
    assert (
        anna.sources == ("group", "alone") and float(anna.matching_embeddings[0] @ anna.matching_embeddings[1]) > 0.99
    )
    without = reasons(encode({"group": scenes.photo("bob", "cem"), "alone": scenes.photo("anna")}))["group"]
    assert "none of its 2 faces" in without and "the likeliest: 0%" in without


def test_without_a_hint_only_a_face_that_stands_out_is_taken(encode, scenes):
    # 0.7 of the side is 0.49 of the area: just over twice as large; 0.75 is not
    taken = encode({"two": scenes.photo("anna", "bob", scales=(1, 0.7))})
    assert torch.allclose(taken.people[0].matching_embeddings[0], torch.tensor([2.0, -1.0, -1.0]) / 6**0.5, atol=0.01)
    left = encode({"five": scenes.photo("anna", "bob", "cem", "bob", "cem", scales=(1, 0.75, 0.5, 0.5, 0.5))})
    assert left.people == () and "5 faces" in reasons(left)["five"] and "crop it" in reasons(left)["five"]


def test_a_photograph_of_somebody_else_is_refused(encode, scenes):
    photos = {str(n): scenes.photo("anna" if n != 1 else "bob", seed=n) for n in range(4)}
    found = encode(photos)
    assert found.people[0].sources == ("0", "2", "3")
    # 9 to 1 that whoever gave it is right, and e^7 against it: 0.8%.
    assert reasons(found)["1"].startswith("it shows somebody else than the others (1% likely to be the same); if not,")
    two = encode({"first": scenes.photo("bob"), "second": scenes.photo("anna")})
    assert two.people[0].sources == ("first",)
    assert reasons(two)["second"].startswith("it shows somebody else than the first one (1% likely to be the same);")


def test_of_two_people_half_and_half_the_first_one_is_meant(encode, scenes, caplog):
    photos = {f"{name} {n}": scenes.photo(name, seed=n) for n in range(3) for name in ("anna", "bob")}
    found = encode(photos)
    assert found.people[0].sources == ("anna 0", "anna 1", "anna 2")
    assert reasons(found).keys() == {"bob 0", "bob 1", "bob 2"}
    assert all("than the first one (1% likely" in reason for _, reason in found.refused)
    assert all(f"{source} is not used: {reason}" in caplog.text for source, reason in found.refused)
    assert encode(dict(reversed(photos.items()))).people[0].sources == ("bob 2", "bob 1", "bob 0")
    # What counts more is believed more.
    assert encode(photos, weights={"bob 1": 1.5}).people[0].sources == ("bob 0", "bob 1", "bob 2")


def test_among_twenty_the_strangers_are_found(encode, scenes):
    strangers = {0: "bob", 7: "bob", 19: "cem"}
    found = encode({str(n): scenes.photo(strangers.get(n, "anna"), seed=n) for n in range(20)})
    refused = {source for source, reason in found.refused if "somebody else" in reason}
    assert refused == {str(n) for n in strangers}
    assert len(found.people[0]) == MOST and len(found.refused) == 20 - MOST and found.doubted == ()


def test_a_group_alone_says_nothing(encode, scenes):
    found = encode({"group": scenes.photo("anna", "bob", "cem")})
    assert found.people == ()
    assert reasons(found)["group"].startswith("it shows 3 faces and nothing says whose is meant")


def test_a_doubtful_photograph_counts_for_less(encode, scenes, eve, caplog):
    photos = {str(n): scenes.photo("eve" if n == 1 else "anna", seed=n) for n in range(4)}
    found = encode(photos, weights={"1": 2.0, "2": 3.0})
    (anna,) = found.people
    assert anna.sources == ("0", "1", "2", "3") and found.refused == ()
    evidence = 20 * (math.cos(math.radians(65)) - 0.5)
    sure = 1 / (1 + math.exp(-evidence) / 9)
    assert anna.weights == pytest.approx((1.0, 2 * sure, 3.0, 1.0), abs=0.15) and 0.6 < sure < 0.7
    ((source, reason),) = found.doubted
    assert source == "1" and reason == f"it may show somebody else than the others ({anna.weights[1] / 2:.0%} sure)"
    assert "The reference 1 counts for less: it may show somebody else" in caplog.text
    # 60 degrees are none of both, 70 are too many.
    for degrees, doubted, refused in ((60, 0, 0), (70, 0, 1)):
        COLOURS["eve"] = hue(degrees)
        photos["1"] = scenes.photo("eve", seed=1)
        found = encode(photos)
        assert (len(found.doubted), len(found.refused)) == (doubted, refused)


@pytest.mark.parametrize(("apart", "used"), [(65, 4), (90, 2)])
def test_a_child_and_the_same_person_at_sixty(encode, scenes, monkeypatch, caplog, apart, used):
    """Two of each under one name: one person as long as that is likely, else the first two and advice."""
    monkeypatch.setitem(COLOURS, "at sixty", hue(apart))
    ages = ("anna", "anna", "at sixty", "at sixty")
    found = encode({f"{age} {n}": scenes.photo(age, seed=n) for n, age in enumerate(ages)})
    assert found.people[0].sources == tuple(f"{age} {n}" for n, age in enumerate(ages))[:used]
    reason = "it shows somebody else than the first one (1% likely to be the same); if not, give it a name of its own"
    assert reasons(found) == {source: reason for source in ("at sixty 2", "at sixty 3")[: 4 - used]}
    assert (reason in caplog.text) == (used == 2) and found.doubted == ()


def test_of_a_hundred_the_best_are_taken(encode, scenes):
    photos = {f"plain {n}": scenes.photo("anna", seed=n, side=100) for n in range(20)}
    photos |= {f"sharp {n}": scenes.photo("anna", seed=n) for n in range(MOST - 1)}
    photos["heavy"] = scenes.photo("anna", seed=99, side=100)
    found = encode(photos, weights={"heavy": 3.0})
    assert set(found.people[0].sources) == {f"sharp {n}" for n in range(MOST - 1)} | {"heavy"}
    assert len(found.refused) == 20 and all("8 best of 28" in reason for _, reason in found.refused)
