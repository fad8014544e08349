"""How alike faces are to people: cosines to the weighted mean of each person's photographs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..records import Person, References


def mean_matching_embedding(person: Person) -> Tensor:
    """Unit embedding (E,) that stands for a person: the mean of their photographs', weighted."""
    return _mean(person.matching_embeddings, person)


def mean_identity_embedding(person: Person) -> Tensor:
    """The same of the built-in embedder's (D,)."""
    return _mean(person.identity_embeddings, person)


def effective_count(person: Person) -> float:
    """How many photographs there are, where one that counts less than others is less than one."""
    return sum(person.weights) ** 2 / sum(weight**2 for weight in person.weights)


def _mean(embeddings: Tensor, person: Person) -> Tensor:
    return F.normalize(embeddings.new_tensor(person.weights) @ embeddings, dim=0)


def likeness(
    embeddings: Tensor, references: References, mean: Callable[[Person], Tensor] = mean_matching_embedding
) -> Tensor:
    """Cosine (N,P) of each embedding (N,E) with each person's mean embedding.

    Raises:
        ValueError: the people's embeddings have another length, or those given are no (N,E).
    """
    if embeddings.ndim != 2 or not embeddings.is_floating_point():
        raise ValueError(
            f"Got embeddings of shape {tuple(embeddings.shape)}, {embeddings.dtype}; expected float (faces, numbers)."
        )
    if not references.people:
        return embeddings.new_zeros(len(embeddings), 0)
    means = [mean(person).to(embeddings) for person in references.people]
    for person, one in zip(references.people, means, strict=True):
        if len(one) != embeddings.shape[1]:
            raise ValueError(
                f"The embeddings of the references of '{person.name}' have {len(one)} numbers; expected "
                f"{embeddings.shape[1]}, as this embedder makes. Encode the photographs again with it."
            )
    return F.normalize(embeddings, dim=1) @ torch.stack(means).T
