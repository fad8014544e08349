"""The way of crops through a restorer with a codebook: encode, refine, take texture, mix, decode.

All who restore crops go this way: the pipeline and its nodes, and the page, which keeps what a slider does not touch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from .faces.identity import Embedder
from .records import CodebookRestorer, Crops, FaceTokens, References
from .references.transfer import Transferred, photographs_for, transfer_texture
from .refinement import RefinedFace, RefinementOptions, refine_tokens, refined_faces
from .restorers.tokens import encode_tokens, restore_tokens

Progress = Callable[[], None]


class Keep(Protocol):
    """Makes what a stage makes, or gives what is kept of it."""

    def __call__(self, stage: str, made_from: Hashable, make: Callable[[], Any]) -> Any:
        """The result of a stage, from `make` unless it is kept from the same crops and the same `made_from`."""
        ...


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the stages made of N faces.

    Attributes:
        faces: (N,3,512,512) float32 in [0,1].
        tokens: what they were decoded from.
        encoded: as they were encoded, with the weights of the mix.
        transferred: what references gave; None where there were none.
        refined: what refinement did to each; None without one.
    """

    faces: Tensor
    tokens: FaceTokens
    encoded: FaceTokens
    transferred: Transferred | None
    refined: Sequence[RefinedFace | None]


def make_always(stage: str, made_from: Hashable, make: Callable[[], Any]) -> Any:
    """A :class:`Keep` that keeps nothing."""
    return make()


@dataclass(frozen=True)
class Mix:
    """How content and quality are mixed (see :mod:`.restorers.tokens`); a content of None is the restorer's own."""

    content: float | None = None
    quality: float = 1.0


@dataclass(frozen=True, eq=False)
class Given:
    """Whose photographs N faces are given.

    Attributes:
        references: encoded by the restorer that is to use them.
        people: of each face the person's name; None for nobody.
        strength: see :func:`.references.transfer.transfer_texture`.
    """

    references: References
    people: Sequence[str | None]
    strength: float = 1.0


def draw_faces(
    crops: Crops,
    restorer: CodebookRestorer,
    mix: Mix | None = None,
    refinement: RefinementOptions | None = None,
    given: Given | None = None,
    identity: Embedder | None = None,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> Drawn:
    """Draw faces from their crops.

    Args:
        crops: the faces; all go through the network together.
        restorer: what restores them.
        mix: None is the restorer's own.
        refinement: with a number of steps; None is no refinement.
        given: None where no references are read.
        identity: the identity embedder, where refinement needs it.
        progress: see :class:`.records.Restorer`.
        keep: for callers that draw the same crops again and again; stages are called ``"encode"``, ``"refine"``,
            ``"transfer"`` and ``"decode"``. None keeps nothing.

    Raises:
        ValueError: as the stages, :func:`.refinement.refine_tokens` among them.
    """
    mix = mix or Mix()
    refinement = refinement or RefinementOptions(0)
    given = given if given and any(given.people) else None
    # Tokens that nobody keeps, and only the decoder reads, hold features in full precision.
    whole = keep is None and given is None and not refinement.steps
    keep = keep or make_always

    def mixed(tokens: FaceTokens) -> FaceTokens:
        return restore_tokens(tokens, mix.content, mix.quality)

    encoded = keep("encode", None, lambda: encode_tokens(crops, restorer, None, progress, whole))
    encoded = tokens = mixed(replace(encoded, crops=crops))
    made_from: tuple[Hashable, ...] = (_whom(crops, given), refinement)
    refined: Sequence[RefinedFace | None] = [None] * len(crops)
    if refinement.steps != 0:

        def refine() -> tuple[FaceTokens, list[RefinedFace | None]]:
            photographs = photographs_for(encoded, given.references, given.people) if given else None
            refined = refine_tokens(encoded, refinement, photographs, identity, progress)
            return refined.tokens, [*refined_faces(refined)]

        tokens, refined = keep("refine", made_from, refine)
    transferred = None
    if given:
        before = tokens

        def transfer() -> Transferred:
            return transfer_texture(before, given.references, given.strength, given.people, progress)

        made_from += (given.strength,)
        transferred = keep("transfer", made_from, transfer)
        tokens = transferred.tokens
    tokens = mixed(tokens)
    faces = keep("decode", (made_from, mix), lambda: restorer.decode(tokens, progress))
    return Drawn(faces, tokens, encoded, transferred, refined)


def _whom(crops: Crops, given: Given | None) -> Hashable:
    """What is read of references depends on: of each face the person, their photographs, and how sure it is."""
    if not given:
        return None
    photographs = {person.name: person.sources for person in given.references.people}
    rows = zip(given.people, crops.faces, strict=True)
    return tuple((name, photographs.get(name or ""), face.match_chance) for name, face in rows)
