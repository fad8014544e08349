"""How references are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .matching import check_threshold
from .transfer import check_strength


@dataclass(frozen=True)
class ReferenceOptions:
    """How references are used.

    Attributes:
        strength: 0 to 1, how much texture is taken; 0 restores blind.
        match_threshold: the least chance at which a face is taken for a person; None is 0.5.
        manual: {number of a face in its photograph: a person's name, or None for nobody}, above all likeness.
        diagnostics: also measure identity and draw maps (:class:`.diagnostics.ReferenceDiagnostics`). It costs a second
            refinement, where there is one, a second decoding and three embeddings a face, and keeps 4 MB for each.

    Raises:
        ValueError: a strength or a threshold out of range.
    """

    strength: float = 1.0
    match_threshold: float | None = None
    manual: Mapping[int, str | None] = field(default_factory=dict)
    diagnostics: bool = False

    def __post_init__(self) -> None:
        check_strength(self.strength)
        if self.match_threshold is not None:
            check_threshold(self.match_threshold)
