"""One face, drawn stage by stage; what a slider does not touch is kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...records import Crops, References
from ...references.likeness import likeness
from ...references.matching import Match
from ...references.transfer import attribution_map, shares_taken
from ...references.views import Refusal
from ...refinement import RefinementOptions
from ...restorers.tokens import invention_map
from ...stages import Given, Mix, draw_faces
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
class DrawnFace:
    """A restored face and what is known of it.

    Attributes:
        before, after: (3,512,512) in [0,1].
        invention: (1,512,512) in [0,1], see :func:`...restorers.tokens.invention_map`.
        invented: its mean over the face.
        attribution: (3,512,512), :func:`...references.transfer.attribution_map` over the restored face; None without
            references.
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
) -> DrawnFace:
    """Draw one face, from the first stage that differs from last time.

    The stages are those of :func:`...stages.draw_faces`.

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
    labelled = labelled_crops(crop, [match])
    given = Given(references, [name], settings.strength) if references and person else None
    drawn = draw_faces(
        labelled,
        studio.restorer,
        Mix(settings.content, settings.quality),
        RefinementOptions(settings.steps),
        given,
        studio.embedder,
        progress,
        kept.get,
    )
    picture = drawn.faces
    grey = bool((crop.pixels == crop.pixels[:, :1]).all())
    after = picture.mean(1, keepdim=True).expand_as(picture) if grey else picture
    invention = invention_map(drawn.tokens)[0]
    attribution: Tensor | None = None
    taken: tuple[tuple[str, float], ...] = ()
    unused: tuple[Refusal, ...] = ()
    alike: tuple[float, float] | None = None
    if drawn.transferred and references and person:
        found = drawn.transferred
        shown = replace(found, tokens=replace(found.tokens, crops=replace(labelled, pixels=after)))
        attribution, taken, unused = attribution_map(shown)[0], shares_taken(found)[0], found.unused[0]
        scores = likeness(studio.embedder.embed(torch.cat([crop.pixels, after])), references)
        column = [p.name for p in references.people].index(person.name)
        alike = float(scores[0, column]), float(scores[1, column])
    invented = float((invention * crop.masks[0]).sum() / crop.masks[0].sum().clamp_min(1e-6))
    return DrawnFace(crop.pixels[0], after[0], invention, invented, attribution, taken, unused, alike)
