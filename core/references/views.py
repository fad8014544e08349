"""Faces of reference photographs: found, aligned, embedded, and good enough or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..faces.crop import aligned_crops, crop_faces
from ..faces.detect import Detect
from ..faces.identity import Embedders
from ..faces.measure import measure_quality, shades
from ..faces.select import measure_faces
from ..records import Face, FaceQuality, Person

Refusal = tuple[str, str]  # source, reason

SMALLEST = 64  # [px] longer side of the face's box
# Damage (see :mod:`..faces.measure`) above which a photograph is refused: what a sharp face of 64 px measures (0.67 to
# 0.77), so that a large and blurred one must hold as much.
WORST = 0.8
# Shades (see :func:`..faces.measure.shades`) below which it is a drawing, or a copy that has lost as much. Of 3,403
# photographs of the train split 15 have less: engravings, drawings and prints in black and white alone.
SHADELESS = 4.0
WEIGHTS = 1e-6, 1e6  # the least and the largest weight of a photograph, whose squares are summed
MOST_FACES = 5  # of one photograph, the largest, that may be the person's


@dataclass(frozen=True, eq=False)
class ReferencePhoto:
    """A photograph that shows a person as good as it gets.

    Attributes:
        pixels: (3,H,W) float RGB in [0,1].
        source: what it is called in reports.
        person: whom it shows, among others perhaps.
        weight: how much it counts beside the person's others, a millionth to a million.

    Raises:
        ValueError: another weight, or a name that is empty.
    """

    pixels: Tensor
    source: str
    person: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not WEIGHTS[0] <= self.weight <= WEIGHTS[1]:
            raise ValueError(
                f"The weight of '{self.source}' was {self.weight}; expected {WEIGHTS[0]:g} to {WEIGHTS[1]:g}."
            )
        if not self.person:
            raise ValueError(f"'{self.source}' names no person; expected a name that is not empty.")


@dataclass(frozen=True, eq=False)
class View:
    """One face of one photograph: as found and measured, aligned (3,512,512), its embeddings (D,) and (E,), how much it
    counts, and how far it is trusted to show the person."""

    face: Face
    pixels: Tensor
    identity_embedding: Tensor
    matching_embedding: Tensor
    source: str
    weight: float
    identity_confidence: float = 1.0

    @property
    def side(self) -> float:
        """The longer side of its box [px]."""
        x0, y0, x1, y1 = self.face.box
        return max(x1 - x0, y1 - y0)

    @property
    def severity(self) -> float:
        """How damaged it is, 0 to 1."""
        return self.quality.severity

    @property
    def quality(self) -> FaceQuality:
        """What was measured on it."""
        assert self.face.quality, "views are measured when they are made"
        return self.face.quality

    @property
    def fault(self) -> str | None:
        """Why it is not good enough, or None."""
        if self.side < SMALLEST:
            return f"its face is {self.side:.0f} px large; expected {SMALLEST} px or more"
        if self.severity > WORST:
            return f"its face is too damaged (damage {self.severity:.2f}); expected {WORST} or less"
        if (found := shades(self.pixels)) < SHADELESS:
            return f"it seems to be a drawing or a hard copy (shades {found:.1f}); expected {SHADELESS:g} or more"
        return None


def qualities_of(person: Person) -> Sequence[FaceQuality]:
    """What was measured on a person's photographs; measured now where it was not."""
    return person.qualities or measure_quality(aligned_crops(person.faces))


def views_of(photo: ReferencePhoto, embedders: Embedders, detect: Detect) -> list[View]:
    """The largest faces of a photograph, largest first."""
    batch = photo.pixels[None]
    found = sorted(detect(batch), key=area_of, reverse=True)[:MOST_FACES]
    crops = crop_faces(batch, measure_faces(batch, found))
    identity = embedders.identity.embed(crops.pixels)
    same = embedders.matching is embedders.identity
    embeddings = identity if same else embedders.matching.embed(crops.pixels)
    rows = zip(crops.faces, crops.pixels, identity, embeddings, strict=True)
    views = [View(*row, photo.source, photo.weight) for row in rows]
    return sorted(views, key=lambda view: -area_of(view.face))


def known_views(person: Person) -> list[View]:
    """The photographs that a person has already."""
    faces = [
        replace(f, quality=q) for f, q in zip(aligned_crops(person.faces).faces, qualities_of(person), strict=True)
    ]
    given = person.given or person.weights
    rows = zip(
        faces, person.faces, person.identity_embeddings, person.matching_embeddings, person.sources, given, strict=True
    )
    return [View(*row) for row in rows]


def area_of(face: Face) -> float:
    """The area of a face's box [px²]."""
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)
