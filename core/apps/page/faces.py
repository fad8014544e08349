"""One face, drawn stage by stage; what a slider does not touch is kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...matching import Match, likeness
from ...records import Crops, FaceTokens, References
from ...references import Refusal
from ...refining import Refinement, refine_faces
from ...tokens import encode_tokens, invention_map, restore_tokens
from ...transfer import Transferred, attribution_map, photographs_for, shares_taken, transfer_texture
from .graph import Settings
from .people import Studio, labelled_crops

Progress = Callable[[], None]


class Kept:
    """The last result of each stage, with what it was made from."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Hashable, Any]] = {}
        self.made: list[str] = []  # names of the stages that were computed, in order

    def get(self, stage: str, made_from: Hashable, make: Callable[[], Any]) -> Any:
        """What the stage made from this, computed where that is not what is kept."""
        if stage not in self._kept or self._kept[stage][0] != made_from:
            self._kept[stage] = made_from, make()
            self.made.append(stage)
        return self._kept[stage][1]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A restored face and what is known of it.

    Attributes:
        before, after: (3,512,512) in [0,1].
        invention: (1,512,512) in [0,1], see :func:`...tokens.invention_map`.
        invented: its mean over the face.
        attribution: (3,512,512), :func:`...transfer.attribution_map` over the restored face; None without references.
        taken: (path of a photograph, share) of what was taken from each.
        unused: (path, reason) of those passed over for this face.
        likeness: cosine to the person's references before and after; None without references.
    """

    before: Tensor
    after: Tensor
    invention: Tensor
    invented: float
    attribution: Tensor | None
    taken: tuple[tuple[str, float], ...]
    unused: tuple[Refusal, ...]
    likeness: tuple[float, float] | None


def draw(
    kept: Kept,
    crop: Crops,
    settings: Settings,
    references: References | None,
    match: Match | None,
    studio: Studio,
    progress: Progress | None = None,
) -> Drawn:
    """Draw one face, from the first stage that differs from last time.

    Encoding depends on the face alone, refinement and transfer on its person's photographs, drawing on the two weights;
    the steps and their order are those of :func:`...guidance.restore_guided`.

    Args:
        kept: of this face.
        crop: the face alone, with the template's geometry.
        settings: of the sliders.
        references: None where there are none.
        match: whom the face shows.
        studio: the networks.
        progress: called often; what it raises ends the work.
    """
    name = match.person if match else None
    person = next((p for p in references.people if p.name == name), None) if references and name else None
    whom = (person.name, person.sources, match.chance) if person and match else None
    labelled = labelled_crops(crop, [match])
    encoded: FaceTokens = kept.get("encode", None, lambda: encode_tokens(crop, studio.restorer, progress=progress))
    encoded = replace(encoded, crops=labelled)

    def refine() -> FaceTokens:
        photographs = photographs_for(encoded, references, [name]) if person and references else None
        refinement = Refinement(settings.steps)
        return refine_faces(encoded, refinement, photographs, studio.embedder, progress)[0]

    def transfer() -> Transferred:
        assert references is not None
        return transfer_texture(refined, references, settings.strength, progress=progress)

    tokens = refined = encoded
    if settings.steps:
        tokens = refined = kept.get("refine", (whom, settings.steps), refine)
    given: Transferred | None = None
    if person:
        given = kept.get("transfer", (whom, settings.steps, settings.strength), transfer)
        tokens = given.tokens
    tokens = restore_tokens(tokens, settings.content, settings.quality)
    picture = kept.get(
        "draw",
        (whom, settings),
        lambda: studio.restorer.decode(tokens, progress).clamp(0, 1),  # type: ignore[attr-defined]
    )
    grey = bool((crop.pixels == crop.pixels[:, :1]).all())
    after = picture.mean(1, keepdim=True).expand_as(picture) if grey else picture
    invention = invention_map(tokens)[0]
    attribution: Tensor | None = None
    taken: tuple[tuple[str, float], ...] = ()
    unused: tuple[Refusal, ...] = ()
    alike: tuple[float, float] | None = None
    if given and references and person:
        shown = replace(given, tokens=replace(given.tokens, crops=replace(labelled, pixels=after)))
        attribution, taken, unused = attribution_map(shown)[0], shares_taken(given)[0], given.unused[0]
        scores = likeness(studio.embedder.embed(torch.cat([crop.pixels, after])), references)
        column = [p.name for p in references.people].index(person.name)
        alike = float(scores[0, column]), float(scores[1, column])
    invented = float((invention * crop.masks[0]).sum() / crop.masks[0].sum().clamp_min(1e-6))
    return Drawn(crop.pixels[0], after[0], invention, invented, attribution, taken, unused, alike)
