import json
import math
from dataclasses import replace

import pytest
import torch
from people import COLOURS, ColourEmbedder, Giving, Scenes, both
from resemblance.core.records import Lookup
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.saving import load_references, save_references
from resemblance.core.references.sorting import MOST
from resemblance.core.references.views import ReferencePhoto


@pytest.fixture(scope="module")
def restorer():
    return Giving()


@pytest.fixture
def scenes(patterns):
    return Scenes()


@pytest.fixture
def encode(restorer, scenes):
    """Encodes photographs given as {source: pixels}, all of one person; `others` are of other people."""

    def run(photos, onto=None, weights=None, person="anna"):
        given = [ReferencePhoto(p, name, person, (weights or {}).get(name, 1.0)) for name, p in photos.items()]
        return encode_references(given, restorer, both(ColourEmbedder()), scenes.detect, onto)

    return run


def reasons(references):
    return dict(references.refused)


def test_what_a_person_holds(encode, scenes, restorer):
    first, second = scenes.photo("anna", seed=1), scenes.photo("anna", seed=2, side=400)
    found = encode({"a": first, "b": second}, weights={"b": 2.0})
    (anna,) = found.people
    assert (anna.name, anna.sources, anna.weights, len(anna)) == ("anna", ("a", "b"), (1.0, 2.0), 2)
    assert (found.restorer, found.embedder, found.refused) == (restorer.fingerprint, "built-in", ())
    assert (found.embedded_by, found.doubted) == (("c" * 16, "c" * 16), ())
    assert anna.faces.shape == (2, 3, 512, 512)
    content, quality, _, _, skips = restorer.encode(anna.faces, Lookup())
    assert torch.equal(anna.content, content) and torch.equal(anna.code_latent, quality)
    assert set(anna.skips) == {32, 64, 128} and torch.equal(anna.skips[64], skips[64])
    red = torch.tensor([2.0, -1.0, -1.0]) / 6**0.5  # a red without its grey
    assert (anna.matching_embeddings @ red > 0.999).all() and torch.equal(
        anna.identity_embeddings, anna.matching_embeddings
    )


def test_no_face_and_small_and_blurred_faces_are_refused(encode, scenes, caplog):
    photos = {
        "empty": scenes.photo(),
        "small": scenes.photo("anna", side=60),
        "blurred": scenes.photo("anna", blur=16),
        "good": scenes.photo("anna"),
    }
    found = encode(photos)
    assert found.people[0].sources == ("good",)
    why = reasons(found)
    assert "no face" in why["empty"]
    assert "60 px" in why["small"] and "64 px" in why["small"]
    assert "damaged" in why["blurred"] and "0.8" in why["blurred"]
    assert all(source in caplog.text for source in ("empty", "small", "blurred"))


def test_a_person_without_good_photographs_is_not_there(encode, scenes):
    found = encode({"empty": scenes.photo()})
    assert found.people == () and "empty" in reasons(found)


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


def hue(degrees):
    """A colour whose embedding is so far from anna's."""
    turn = math.radians(degrees)
    red, across = torch.tensor([2.0, -1.0, -1.0]) / 6**0.5, torch.tensor([0.0, 1.0, -1.0]) / 2**0.5
    return tuple((0.4 + 0.3 * (math.cos(turn) * red + math.sin(turn) * across)).tolist())


@pytest.fixture
def eve(monkeypatch):
    """One who is as like anna as a photograph may be that is used and doubted: 65 degrees away."""
    monkeypatch.setitem(COLOURS, "eve", hue(65))


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


def test_photographs_added_one_by_one_are_doubted_as_all_at_once(encode, scenes, eve):
    photos = {str(n): scenes.photo("eve" if n == 1 else "anna", seed=n) for n in range(4)}
    together = encode(photos)
    chained = encode({"0": photos["0"]})
    for name in ("2", "1", "3"):
        chained = encode({name: photos[name]}, onto=chained)
    weights = dict(zip(chained.people[0].sources, chained.people[0].weights, strict=True))
    assert [weights[str(n)] for n in range(4)] == pytest.approx(together.people[0].weights, rel=1e-3)
    assert weights["1"] < 0.8 and chained.people[0].given == (1.0,) * 4
    assert [source for source, _ in chained.doubted] == ["1"]


def test_another_embedder_is_kept_beside_the_built_in_one_that_decides(restorer, scenes):
    class Swapped(ColourEmbedder):
        """Takes all for one person."""

        name, fingerprint = "insightface", "5" * 16

        def embed(self, faces):
            return torch.tensor([[0.6, 0.8]]).expand(len(faces), -1)

    given = [ReferencePhoto(scenes.photo(name, seed=n), str(n), "x") for n, name in enumerate(("anna", "anna", "bob"))]
    found = encode_references(given, restorer, both(ColourEmbedder(), Swapped()), scenes.detect)
    assert (found.embedder, found.embedded_by) == ("insightface", ("5" * 16, "c" * 16))
    (person,) = found.people
    assert person.sources == ("0", "1") and torch.equal(person.matching_embeddings, torch.tensor([[0.6, 0.8]] * 2))
    assert (
        person.identity_embeddings.shape == (2, 3)
        and (person.identity_embeddings[0] @ person.identity_embeddings[1]) > 0.99
    )


def test_of_a_hundred_the_best_are_taken(encode, scenes):
    photos = {f"plain {n}": scenes.photo("anna", seed=n, side=100) for n in range(20)}
    photos |= {f"sharp {n}": scenes.photo("anna", seed=n) for n in range(MOST - 1)}
    photos["heavy"] = scenes.photo("anna", seed=99, side=100)
    found = encode(photos, weights={"heavy": 3.0})
    assert set(found.people[0].sources) == {f"sharp {n}" for n in range(MOST - 1)} | {"heavy"}
    assert len(found.refused) == 20 and all("8 best of 28" in reason for _, reason in found.refused)


def test_photographs_are_added_to_those_that_are_there(encode, scenes):
    photos = {name: scenes.photo("anna", seed=n) for n, name in enumerate("abc")}
    bob = encode({"empty": scenes.photo(), "d": scenes.photo("bob")}, person="bob")
    first = encode({name: photos[name] for name in "ab"}, bob)
    assert [person.name for person in first.people] == ["bob", "anna"] and first.people[0] is bob.people[0]
    both = encode({"c": photos["c"]}, first)
    at_once = encode(photos)
    assert both.people[1].sources == ("a", "b", "c") and "empty" in reasons(both)
    assert torch.equal(both.people[1].content, at_once.people[0].content)
    # an old photograph helps to choose in a new one
    group = encode({"group": scenes.photo("bob", "anna")}, first).people[1]
    assert group.sources == ("a", "b", "group") and (group.matching_embeddings[2] @ group.matching_embeddings[0]) > 0.99


def test_references_of_other_makers_are_not_added_to(encode, scenes):
    found = encode({"a": scenes.photo("anna")})
    with pytest.raises(ValueError, match=r"restorer 1234, but this is 'giving'.*Encode"):
        encode({}, replace(found, restorer="1234"))
    with pytest.raises(ValueError, match="embedded by 'insightface', but this is 'built-in'"):
        encode({}, replace(found, embedder="insightface"))
    for by in (("a" * 16, "c" * 16), ("c" * 16, "a" * 16)):
        with pytest.raises(ValueError, match=r"weights a{16} of the embedder 'built-in', but these are c{16}.*Encode"):
            encode({}, replace(found, embedded_by=by))


def test_restorers_without_tokens_read_no_references(scenes):
    class Whole:
        name, with_tokens = "GFPGAN", None

    with pytest.raises(ValueError, match=r"'GFPGAN' restores whole faces.*expected a restorer with a codebook"):
        encode_references([], Whole(), both(ColourEmbedder()), scenes.detect)


def test_photographs_are_read_one_by_one(restorer, scenes):
    photos = [scenes.photo("anna", seed=n) for n in range(3)]
    alive = []

    def read():
        for n, photo in enumerate(photos):
            alive.append(n)
            yield ReferencePhoto(photo, str(n), "anna")

    ticks = []
    encode_references(
        read(), restorer, both(ColourEmbedder()), scenes.detect, progress=lambda: ticks.append(len(alive))
    )
    assert ticks[:3] == [1, 2, 3]


@pytest.mark.parametrize(("weight", "person"), [(0, "anna"), (-1, "anna"), (float("inf"), "anna"), (1, "")])
def test_photographs_that_make_no_sense(weight, person):
    with pytest.raises(ValueError, match="expected"):
        ReferencePhoto(torch.zeros(3, 4, 4), "a", person, weight)


def test_saved_and_loaded_bit_for_bit(encode, scenes, tmp_path, eve):
    found = encode({"ä.jpg": scenes.photo("anna"), "empty": scenes.photo(), "eve": scenes.photo("eve", seed=1)})
    found = encode({"b": scenes.photo("bob")}, found, person="bob")
    save_references(found, tmp_path / "people.safetensors")
    again = load_references(tmp_path / "people.safetensors")
    assert (again.restorer, again.embedder, again.refused) == (found.restorer, found.embedder, found.refused)
    assert (again.embedded_by, again.doubted) == (found.embedded_by, found.doubted)
    assert {source for source, _ in again.doubted} == {"ä.jpg", "eve"}  # either may be the wrong one
    for old, new in zip(found.people, again.people, strict=True):
        assert (old.name, old.weights, old.sources) == (new.name, new.weights, new.sources)
        assert (old.given, old.qualities) == (new.given, new.qualities) and len(new.qualities) == len(new)
        for name in ("faces", "content", "code_latent", "identity_embeddings", "matching_embeddings"):
            assert torch.equal(getattr(old, name), getattr(new, name))
        assert old.skips.keys() == new.skips.keys()
        assert all(torch.equal(old.skips[side], new.skips[side]) for side in old.skips)


def test_files_of_before_are_told_apart(encode, scenes, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    save_references(encode({"a": scenes.photo("anna")}), tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", "pt") as file:
        about = json.loads(file.metadata()["references"])
    del about["embedded_by"], about["doubted"]  # which it did not have
    about["format"] = "resemblance references 1"
    old = tmp_path / "old.safetensors"
    save_file(load_file(tmp_path / "new.safetensors"), old, {"references": json.dumps(about)})
    with pytest.raises(ValueError, match=r"old.safetensors' holds 'resemblance references 1'; expected '.* 4'. Encode"):
        load_references(old)


def test_files_that_hold_no_references(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "weights.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("weights.safetensors", "text.safetensors"):
        with pytest.raises(ValueError, match=f"{name}' holds no references.*expected a file that was saved"):
            load_references(tmp_path / name)
    with pytest.raises(OSError, match="missing"):
        load_references(tmp_path / "missing.safetensors")


def test_the_people_of_these_tests_differ():
    pictures = torch.tensor(list(COLOURS.values()))[:, :, None, None].expand(-1, -1, 4, 4)
    embeddings = ColourEmbedder().embed(pictures)
    assert torch.allclose(embeddings @ embeddings.T, 1.5 * torch.eye(3) - 0.5, atol=1e-4)
