from dataclasses import replace

import pytest
import torch
from people import COLOURS, ColourEmbedder, both, reasons
from resemblance.core.records import Lookup
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.views import ReferencePhoto


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


def test_a_person_without_good_photographs_is_not_there(encode, scenes):
    found = encode({"empty": scenes.photo()})
    assert found.people == () and "empty" in reasons(found)


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


def test_the_people_of_these_tests_differ():
    pictures = torch.tensor(list(COLOURS.values()))[:, :, None, None].expand(-1, -1, 4, 4)
    embeddings = ColourEmbedder().embed(pictures)
    assert torch.allclose(embeddings @ embeddings.T, 1.5 * torch.eye(3) - 0.5, atol=1e-4)
