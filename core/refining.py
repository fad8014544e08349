"""Refinement as a step of restoring: how much of it, and what came of each face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .faces.identity import Embedder
from .records import FaceTokens, Person, Restorer
from .refine import STEPS, Refined, refine_tokens

Progress = Callable[[], None]

OWN_STEPS = 0  # of a restorer with a prior; the table in MODEL_CARD.md says why


@dataclass(frozen=True)
class Refinement:
    """How faces are refined; see :func:`.refine.refine_tokens`.

    Attributes:
        steps: 0 (off) to 8; None is the restorer's own choice.
        identity: 0 to 1, how strongly the identity steers; above 0 a step takes several times as long.
        seed: of the noise.
        candidates: 1 to 8, of how many the one most alike the identity is taken.
    """

    steps: int | None = None
    identity: float = 0.0
    seed: int = 0
    candidates: int = 1

    def __post_init__(self) -> None:
        if self.steps is not None and not 0 <= self.steps <= STEPS:
            raise ValueError(f"Got {self.steps} steps of refinement; expected 0 (off) to {STEPS}.")
        if not 0 <= self.identity <= 1:
            raise ValueError(f"The strength of the identity was {self.identity:g}; expected 0 to 1.")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"The seed was {self.seed}; expected 0 to 2^64 - 1.")
        if not 1 <= self.candidates <= STEPS:
            raise ValueError(f"Got {self.candidates} candidates; expected 1 to {STEPS}.")

    def settled(self, restorer: Restorer) -> Refinement:
        """The same with a number of steps.

        Raises:
            ValueError: steps of a restorer that has no prior.
        """
        refines = getattr(restorer.network, "prior", None) is not None
        if self.steps and not refines:
            raise ValueError(
                f"'{restorer.name}' has no prior over clean latents and cannot refine; use the built-in restorer, or "
                "leave refinement out (0 steps)."
            )
        return replace(self, steps=OWN_STEPS if refines else 0) if self.steps is None else self


@dataclass(frozen=True)
class RefinedFace:
    """What refinement did to one face.

    Attributes:
        candidate: which one was taken, from 0; None where the face stays as it was.
        stopped: why the face could not be refined, or None.
        spread: mean over the face of the standard deviation of the candidates' pixels; None with one candidate.
    """

    candidate: int | None
    stopped: str | None
    spread: float | None


def refine_faces(
    tokens: FaceTokens,
    refinement: Refinement,
    people: Sequence[Person | None] | None = None,
    reader: Embedder | None = None,
    progress: Progress | None = None,
) -> tuple[FaceTokens, list[RefinedFace | None]]:
    """Refine tokens, and say what came of each face; without steps they are given back, and of each face None.

    Raises:
        ValueError: as :meth:`Refinement.settled`, :func:`.refine.refine_tokens`.
    """
    steps = refinement.settled(tokens.restorer).steps
    if not steps:
        return tokens, [None] * len(tokens)
    refined = refine_tokens(
        tokens,
        steps,
        refinement.identity,
        refinement.seed,
        people,
        refinement.candidates,
        reader,  # type: ignore[arg-type]
        progress,
    )
    return refined.tokens, [*refined_faces(refined)]


def refined_faces(refined: Refined) -> list[RefinedFace]:
    """What came of each face."""
    stopped = dict(refined.stopped)
    masks = refined.tokens.crops.masks
    spreads: list[float | None] = [None] * len(masks)
    if refined.spread is not None:
        masks = masks.to(refined.spread)
        spreads = ((refined.spread * masks).sum((1, 2, 3)) / masks.sum((1, 2, 3))).tolist()
    return [RefinedFace(each, stopped.get(n), spreads[n]) for n, each in enumerate(refined.chosen)]
