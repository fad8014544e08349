"""How alike faces are to people: cosines to the weighted mean of each person's photographs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..records import Person, References


def likeness(embeddings: Tensor, references: References) -> Tensor:
    """Cosine (N,P) of each embedding (N,E) with each person's :func:`mean_matching_embedding`."""
    means = [mean_matching_embedding(person).to(embeddings) for person in references.people]
    if not means:
        return embeddings.new_zeros(len(embeddings), 0)
    return F.normalize(embeddings, dim=1) @ torch.stack(means).T


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
