import math

import pytest
import torch
from resemblance.core.records import Person, References
from resemblance.core.references.likeness import effective_count, likeness, mean_identity_embedding


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


def test_a_person_is_the_weighted_mean_of_the_photographs():
    # 3 parts along 0 degrees and 1 part along 90 lie at atan(1/3)
    mixed = person("mixed", direction(0), direction(90), weights=(3.0, 1.0), identity=[direction(90), direction(180)])
    faces = torch.tensor([direction(0), direction(math.degrees(math.atan(1 / 3)))])
    found = likeness(2 * faces, known(mixed))
    assert found.flatten().tolist() == pytest.approx([3 / math.sqrt(10), 1.0])
    assert likeness(faces, known()).shape == (2, 0)
    assert mean_identity_embedding(mixed).tolist() == pytest.approx(
        [-1 / math.sqrt(10), 3 / math.sqrt(10), 0], abs=1e-6
    )


@pytest.mark.parametrize(("weights", "count"), [((1.0, 1.0, 1.0), 3), ((2.0, 2.0), 2), ((3.0, 1.0), 1.6), ((0.2,), 1)])
def test_photographs_that_count_less_are_fewer(weights, count):
    assert effective_count(person("x", *[direction(0)] * len(weights), weights=weights)) == pytest.approx(count)


def test_embeddings_of_another_length_cannot_be_compared():
    with pytest.raises(ValueError, match=r"of 'bob' have 2 numbers; expected 3, as this embedder makes. Encode the ph"):
        likeness(torch.eye(3), known(person("anna", [1.0, 0.0, 0.0]), person("bob", [1.0, 0.0])))
