"""Restoring faces with the photographs of the people they show, and the proof of what that did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .faces.crop import template_view
from .faces.identity import Embedder
from .records import Crops, References
from .references.encoding import check_embedder
from .references.likeness import likeness
from .references.matching import check_threshold
from .references.names import check_names
from .references.transfer import Transferred, attribution_map, check_strength, shares_taken
from .references.views import Refusal
from .refinement import RefinedFace, Refinement, refine_faces
from .restorers.token_restorer import TokenRestorer
from .restorers.tokens import invention_map
from .stages import Given, Mix, draw_faces

Progress = Callable[[], None]


@dataclass(frozen=True, eq=False)
class Guidance:
    """Whose photographs are at hand, and how they are used.

    Attributes:
        references: encoded by the restorer that is to use them.
        embedder: the one that embedded them.
        strength: 0 to 1, how much texture is taken; 0 restores blind.
        threshold: the least chance at which a face is taken for a person; None is 0.5.
        manual: {number of a face in its photograph: a person's name, or None for nobody}, above all likeness.
        proof: also measure identity and draw maps (:class:`Proof`). It costs a second refinement, where there is one,
            a second decoding and three embeddings a face, and keeps 4 MB for each.
    """

    references: References
    embedder: Embedder
    strength: float = 1.0
    threshold: float | None = None
    manual: Mapping[int, str | None] = field(default_factory=dict)
    proof: bool = False

    def __post_init__(self) -> None:
        check_embedder(self.references, self.embedder)
        check_strength(self.strength)
        if self.threshold is not None:
            check_threshold(self.threshold)
        check_names([name for name in self.manual.values() if name is not None], self.references)


@dataclass(frozen=True, eq=False)
class Proof:
    """What the references did to a face.

    Likeness to a reference rises by copying alone: it is no proof that the face is the true one.

    Attributes:
        before, blind, after: cosine to the person's references of the face as it was, restored without them, and
            restored with them.
        taken: (source, share) of each photograph: how much of the face was taken from it, 0 to 1.
        invented: mean of :func:`.restorers.tokens.invention_map` over the face, 0 to 1.
        attribution: (3,S,S), see :func:`.references.transfer.attribution_map`.
        invention: (1,S,S), see :func:`.restorers.tokens.invention_map`.
    """

    before: float
    blind: float
    after: float
    taken: tuple[tuple[str, float], ...]
    invented: float
    attribution: Tensor
    invention: Tensor


@dataclass(frozen=True, eq=False)
class Guided:
    """One face that was restored with references.

    Attributes:
        face: (3,512,512) float32 in [0,1]; None where no photograph was fit for it.
        unused: (source, reason) of the person's photographs that were passed over.
        proof: None where none was asked for, or nothing was restored.
        refined: what refinement did; None without one.
    """

    face: Tensor | None
    unused: tuple[Refusal, ...]
    proof: Proof | None
    refined: RefinedFace | None = None


def restore_guided(
    crops: Crops,
    restorer: TokenRestorer,
    people: Sequence[str | None],
    guidance: Guidance,
    fidelity: float | None = None,
    strengths: Sequence[float] | None = None,
    progress: Progress | None = None,
    refinement: Refinement | None = None,
    reader: Embedder | None = None,
) -> list[Guided]:
    """Restore a few faces, each with the photographs of its person.

    Args:
        crops: the faces; all go through the network together.
        restorer: the one that encoded the references.
        people: the name of the person each face shows.
        guidance: the references.
        fidelity: None is the restorer's own choice.
        strengths: how much of each restored face will be blended in, for the proof; None is 1.
        progress: see :class:`.records.Restorer`.
        refinement: how they are refined, with what the photographs show; None is not at all.
        reader: the built-in embedder, where it is at hand; read from disk where refinement needs it.

    Raises:
        ValueError: as :func:`.references.transfer.transfer_texture`, :func:`.refinement.refine_faces`.
    """
    given = Given(guidance.references, people, guidance.strength)
    mix = Mix(fidelity)
    drawn = draw_faces(crops, restorer, mix, refinement, given, reader, progress)
    transferred, refined = drawn.transferred, drawn.refined
    if transferred is None:
        return [Guided(None, (), None, how) for how in refined]
    proofs: list[Proof | None] = [None] * len(crops)
    if guidance.proof and any(transferred.people):
        blind = drawn.encoded
        if refinement and refinement.settled(restorer).steps:
            blind, _ = refine_faces(blind, refinement, None, reader, progress)
        amount = drawn.faces.new_tensor(strengths or [1.0] * len(crops))[:, None, None, None]
        before = template_view(crops)
        without = torch.lerp(before, restorer.decode(blind, progress), amount)
        proofs = _proofs(transferred, (before, without, torch.lerp(before, drawn.faces, amount)), guidance)
    rows = zip(drawn.faces, transferred.people, transferred.unused, proofs, refined, strict=True)
    return [Guided(face if person else None, unused, proof, how) for face, person, unused, proof, how in rows]


def _proofs(
    transferred: Transferred, pictures: tuple[Tensor, Tensor, Tensor], guidance: Guidance
) -> list[Proof | None]:
    """Proofs for the faces that were given something; `pictures` are all faces before, restored blind, and after."""
    crops, references = transferred.tokens.crops, guidance.references
    names = [person.name for person in references.people]
    scores = [likeness(guidance.embedder.embed(faces), references).tolist() for faces in pictures]
    attribution, invention = attribution_map(transferred), invention_map(transferred.tokens)
    taken = shares_taken(transferred)
    proofs: list[Proof | None] = []
    for n, person in enumerate(transferred.people):
        if person is None:
            proofs.append(None)
            continue
        before, blind, after = (score[n][names.index(person.name)] for score in scores)
        invented = float((invention[n] * crops.masks[n]).sum() / crops.masks[n].sum())
        proofs.append(Proof(before, blind, after, taken[n], invented, attribution[n], invention[n]))
    return proofs
