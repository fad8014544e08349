"""What references did to faces, measured and drawn."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..faces.identity import Embedder
from ..records import References
from ..restorers.tokens import invention_map
from .likeness import likeness
from .transfer import Transferred, attribution_map, shares_taken


@dataclass(frozen=True, eq=False)
class ReferenceDiagnostics:
    """What the references did to a face.

    Likeness to a reference rises by copying alone: it is no proof that the face is the true one.

    Attributes:
        before, blind, after: cosine to the person's references of the face as it was, restored without them, and
            restored with them.
        taken: (source, share) of each photograph: how much of the face was taken from it, 0 to 1.
        invented: mean of :func:`..restorers.tokens.invention_map` over the face, 0 to 1.
        attribution: (3,S,S), see :func:`.transfer.attribution_map`.
        invention: (1,S,S), see :func:`..restorers.tokens.invention_map`.
    """

    before: float
    blind: float
    after: float
    taken: tuple[tuple[str, float], ...]
    invented: float
    attribution: Tensor
    invention: Tensor


def diagnose(
    transferred: Transferred, references: References, embedder: Embedder, before: Tensor, blind: Tensor, after: Tensor
) -> list[ReferenceDiagnostics | None]:
    """Compare N faces before, restored blind and restored with references.

    Args:
        transferred: what references gave them.
        references: whose they are.
        embedder: the one that references are matched by.
        before, blind, after: (N,3,512,512) in [0,1].

    Returns:
        N; None for a face that was given nothing.
    """
    crops, names = transferred.tokens.crops, [person.name for person in references.people]
    scores = [likeness(embedder.embed(faces), references).tolist() for faces in (before, blind, after)]
    attribution, invention = attribution_map(transferred), invention_map(transferred.tokens)
    taken = shares_taken(transferred)
    found: list[ReferenceDiagnostics | None] = []
    for n, person in enumerate(transferred.people):
        if person is None:
            found.append(None)
            continue
        first, without, last = (score[n][names.index(person.name)] for score in scores)
        invented = float((invention[n] * crops.masks[n]).sum() / crops.masks[n].sum())
        found.append(ReferenceDiagnostics(first, without, last, taken[n], invented, attribution[n], invention[n]))
    return found
