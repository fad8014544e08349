"""Choosing among the faces that were found: by number, order, size and measured sharpness."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..records import Face
from .crop import crop_faces
from .detect import ORDERS
from .measure import measure_quality

log = logging.getLogger(__name__)

NUMBERED = "number"  # the order in which the faces were numbered


@dataclass(frozen=True)
class Choice:
    """Which faces to keep. The limits come first; `indices` then count among those that are left.

    Attributes:
        order: ``"number"`` (as they were numbered), or one of :data:`.detect.ORDERS`.
        indices: as :func:`parse_indices` reads them: with the order ``"number"`` the faces' own numbers, with any other
            order their places in it, from 1, in each photograph; empty keeps all.
        min_size, max_size: of the longer side of the box [px]; a maximum of 0 is none.
        min_sharpness, max_sharpness: 0 to 1, see :mod:`.measure`; faces that were not measured pass.
    """

    order: str = NUMBERED
    indices: str = ""
    min_size: float = 0.0
    max_size: float = 0.0
    min_sharpness: float = 0.0
    max_sharpness: float = 1.0


def measure_faces(
    photos: Tensor | Sequence[Tensor], faces: Sequence[Face], progress: Callable[[], None] | None = None
) -> list[Face]:
    """The faces with their quality measured, one crop at a time; those whose landmarks are no face's are left out.

    Args:
        photos: (B,3,H,W), or one (3,H,W) each, float RGB in [0,1].
        faces: found in these photographs.
        progress: called before each face; what it raises stops the work.
    """
    measured = []
    for face in faces:
        if progress:
            progress()
        try:
            crops = crop_faces([photos[face.image]], [replace(face, image=0)])
        except ValueError as error:
            log.warning("%s It is left out.", error)
            continue
        measured.append(replace(face, quality=measure_quality(crops)[0]))
    return measured


def select_faces(faces: Sequence[Face], choice: Choice) -> list[Face]:
    """Keep the chosen faces, each with the number it has.

    Raises:
        ValueError: an unknown order, or indices that cannot be read.
    """
    if choice.order != NUMBERED and choice.order not in ORDERS:
        raise ValueError(f"The order was '{choice.order}'; expected one of {', '.join((NUMBERED, *ORDERS))}.")
    wanted = parse_indices(choice.indices)
    fitting = [face for face in faces if _fits(face, choice)]
    if wanted is None:
        return fitting
    if choice.order == NUMBERED:
        return [face for face in fitting if face.index in wanted]
    kept = []
    for image in sorted({face.image for face in fitting}):
        ranked = sorted((face for face in fitting if face.image == image), key=ORDERS[choice.order])
        kept += [face for place, face in enumerate(ranked) if place in wanted]
    return sorted(kept, key=lambda face: (face.image, face.index))


def parse_indices(text: str) -> set[int] | None:
    """Numbers and ranges such as ``"1, 3-5"``; None where the text is empty.

    Returns:
        Indices, from 0: what is written are numbers, from 1.

    Raises:
        ValueError: anything else.
    """
    if not text.strip():
        return None
    numbers: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", part)
        if not found or int(found[2] or found[1]) < int(found[1]) or int(found[1]) < 1:
            raise ValueError(
                f"The indices were '{text}'; expected numbers and ranges such as '1, 3-5', from 1 upwards."
            )
        numbers.update(range(int(found[1]) - 1, int(found[2] or found[1])))
    return numbers


def _fits(face: Face, choice: Choice) -> bool:
    size = max(face.box[2] - face.box[0], face.box[3] - face.box[1])
    if size < choice.min_size or (choice.max_size and size > choice.max_size):
        return False
    return face.quality is None or choice.min_sharpness <= face.quality.sharpness <= choice.max_sharpness
