"""Whether a face looks more like its person after than before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..faces.crop import crop_faces
from ..faces.detect import Detect
from ..faces.evidence import chance
from ..faces.identity import Embedder
from ..faces.measure import measure_quality
from ..records import Face, References
from .encoding import check_embedder
from .likeness import effective_count, likeness


@dataclass(frozen=True, eq=False)
class Compared:
    """One face before and after.

    Attributes:
        face: where it is.
        person: of the references, whom it is compared with; None where that is the undamaged face.
        before: cosine of its embedding with that of whom it is compared with, -1 to 1.
        after: the same, afterwards.
        sure: the chance that afterwards it shows that person, by what cosines mean, if it was as likely as not before.
        pictures: (2 + R,3,512,512): before, after, and whom it is compared with.
    """

    face: Face
    person: str | None
    before: float
    after: float
    sure: float
    pictures: Tensor


def compare_identity(
    before: Tensor, after: Tensor, detect: Detect, embedder: Embedder, against: References | Tensor
) -> list[Compared]:
    """Compare the faces of some photographs with references, or with the undamaged photographs.

    A face is found in the undamaged photograph, or else in the later one, and is cut out of all at the same place.

    Args:
        before, after: (B,3,H,W) float RGB in [0,1].
        detect: photographs → faces.
        embedder: the one that the references were encoded with.
        against: references, of whom each face is compared with the person it is most like afterwards; or photographs
            (B,3,H,W).

    Raises:
        ValueError: photographs of different sizes; references without people, or of another embedder.
    """
    truth = against if isinstance(against, Tensor) else after
    for name, photos in (("after", after), ("the truth", truth)):
        if photos.shape != before.shape:
            raise ValueError(
                f"Before was {_size(before)}, but {name} {_size(photos)}; give photographs of one number and size."
            )
    if isinstance(against, References):
        check_embedder(against, embedder)
        if not against.people:
            raise ValueError("The references hold nobody to compare with; give at least one good photograph.")
    faces = detect(truth)
    crops = [crop_faces(photos, faces).pixels for photos in (before, after, truth)]
    first, second, true = (embedder.embed(pixels) for pixels in crops)
    qualities = measure_quality(crop_faces(after, faces))
    compared = []
    for n, face in enumerate(faces):
        pictures = [pixels[n, None] for pixels in crops]
        person, count = None, 1.0
        if isinstance(against, Tensor):
            scores = first[n] @ true[n], second[n] @ true[n]
        else:
            alike = likeness(second[n, None], against)[0]
            nearest = int(alike.argmax())
            person, count = against.people[nearest].name, effective_count(against.people[nearest])
            scores = likeness(first[n, None], against)[0, nearest], alike[nearest]
            pictures[2] = against.people[nearest].faces.to(pictures[0])
        lower, higher = map(float, scores)
        sure = chance(float(embedder.calibration.evidence(scores[1].reshape(1, 1), [qualities[n]], [count])))
        compared.append(Compared(face, person, lower, higher, sure, torch.cat(pictures)))
    return compared


def _size(photos: Tensor) -> str:
    return f"{len(photos)} of {photos.shape[3]}x{photos.shape[2]}"
