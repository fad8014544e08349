"""Faces that something else found: boxes, dense landmarks, regions; and the regions that crops cover.

A box says nothing of how a face is turned. So the faces in it are looked for once more with a detector. Where that sees
none, an upright frontal face is taken to fill the box, if it is one that a face fills; a box around a whole body, in
which no face can be seen, is left out.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import TEMPLATE, compose, invert, transform, warp
from ..records import Box, Crops, Face, Points
from .detect import Detector
from .detectors.overlap import overlaps

# The box that face detectors draw around a face in the template: medians over generated faces, built-in detector.
FACE_BOX = (109.5, 63.0, 402.5, 494.0)
THRESHOLD = 0.2  # lower than for a search: a face is known to be there
SAME = 0.35  # IoU from which a face that was found is the one that the box is around
INSIDE = 0.7  # share of a smaller face, in a box around more than a face, that must lie in it
SLIM, WIDE = 0.45, 1.6  # width in heights of the boxes that faces fill
MOST = 0.6  # of a photograph, that a face may cover which cannot be seen
SIZE = 3072

# Points of MediaPipe's face mesh (478 points) that make up the five landmarks, left and right as seen in the picture.
LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
NOSE_TIP, LEFT_MOUTH, RIGHT_MOUTH = 1, 61, 291
MESH = 468  # points without the irises


log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Region:
    """The part of a photograph that a crop covers.

    Attributes:
        region: x0, y0, x1, y1 [px], whole pixels, the last ones excluded; inside the photograph.
        mask: (h,w) float32 in [0,1], the crop's mask as it lies there.
        face: whose it is.
    """

    region: tuple[int, int, int, int]
    mask: Tensor
    face: Face


def faces_in_boxes(
    photos: Tensor | Sequence[Tensor],
    boxes: Sequence[Sequence[Box]],
    scores: Sequence[Sequence[float]],
    detector: Detector,
) -> list[Face]:
    """The face in every box.

    Args:
        photos: (B,3,H,W), or one (3,H,W) each, float RGB in [0,1].
        boxes: of each photograph [px]: around a face, or around more, in which the face is looked for.
        scores: one for each box.
        detector: looks for the landmarks of the face in each box.

    Returns:
        Faces numbered as the boxes are, in each photograph. Boxes in which no face is seen, and which no face would
        fill, are left out with a warning; so is a box around a face that another box is closer around.

    Raises:
        ValueError: a box without area, not as many lists of boxes as photographs, or not as many scores as boxes.
    """
    if len(boxes) != len(photos):
        raise ValueError(f"Got boxes for {len(boxes)} photographs, but {len(photos)} photographs; expected as many.")
    faces = []
    if [len(given) for given in boxes] != [len(given) for given in scores]:
        raise ValueError(
            f"Got {[len(given) for given in scores]} scores for {[len(given) for given in boxes]} boxes of each "
            "photograph; expected one for each box."
        )
    for image, (photo, given) in enumerate(zip(photos, boxes, strict=True)):
        for box in given:
            _check_box(box, f"A box of photograph {image}")
        if not given:
            continue
        smallest = min(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in given)
        found, points, _ = detector.find(photo, THRESHOLD, smallest / 2, SIZE)
        seen = _seen_in(given, found)
        for index, box in enumerate(given):
            if index in seen:
                number, same = seen[index]
                around = box if same else _box(found[number].tolist())
                landmarks: Points = tuple((x, y) for x, y in points[number].tolist())
            elif _fillable(box, photo):
                around, landmarks = box, upright_landmarks(box)
            else:
                size = f"{box[2] - box[0]:.0f}x{box[3] - box[1]:.0f} px"
                log.warning(
                    "Box %d of photograph %d (%s) is no face's, and no face is seen in it; it is left out. Give boxes "
                    "around faces.",
                    index,
                    image,
                    size,
                )
                continue
            faces.append(Face(image, index, around, scores[image][index], landmarks))
    return faces


def _seen_in(boxes: Sequence[Box], found: Tensor) -> dict[int, tuple[int, bool]]:
    """Which of the faces found (M,4) is seen in which box, and whether the box is around just that face.

    Each face is seen in one box at most, in the one closest around it.
    """
    if not len(found):
        return {}
    given = torch.tensor(boxes, dtype=found.dtype)
    same = overlaps(given, found)[0]
    low, high = torch.maximum(given[:, None, :2], found[:, :2]), torch.minimum(given[:, None, 2:], found[:, 2:])
    inside = (high - low).clamp_min(0).prod(-1) / (found[:, 2:] - found[:, :2]).prod(-1)
    # Boxes around faces first: what they are closest around is no longer free for a body's.
    order = torch.where(same >= SAME, 1 + same, torch.where(inside >= INSIDE, same, -1.0))
    seen: dict[int, tuple[int, bool]] = {}
    taken: set[int] = set()
    for place in order.flatten().argsort(descending=True).tolist():
        box, face = divmod(place, len(found))
        if order[box, face] >= 0 and box not in seen and face not in taken:
            seen[box] = face, bool(same[box, face] >= SAME)
            taken.add(face)
    return seen


def _fillable(box: Box, photo: Tensor) -> bool:
    """Whether a face that cannot be seen might fill a box."""
    (x0, y0, x1, y1), (height, width) = box, photo.shape[-2:]
    covered = max(0.0, min(x1, width) - max(x0, 0)) * max(0.0, min(y1, height) - max(y0, 0))
    return SLIM <= (x1 - x0) / (y1 - y0) <= WIDE and covered <= MOST * width * height


def _box(corners: Sequence[float]) -> Box:
    x0, y0, x1, y1 = corners
    return x0, y0, x1, y1


def faces_from_meshes(meshes: Sequence[Sequence[tuple[Box, Tensor, float]]]) -> list[Face]:
    """Faces from MediaPipe's face meshes.

    Args:
        meshes: for each photograph, its faces as box [px], points (468 or 478, 2) [px] and score.

    Raises:
        ValueError: other points than those of the mesh.
    """
    faces = []
    for image, given in enumerate(meshes):
        for index, (box, points, score) in enumerate(given):
            if points.ndim != 2 or points.shape[0] < MESH or points.shape[1] < 2:
                raise ValueError(
                    f"Face {index} of photograph {image} has landmarks {tuple(points.shape)}; "
                    "expected MediaPipe's face mesh, (478, 2)."
                )
            points = points[:, :2].double()
            five = torch.stack(
                [
                    points[list(LEFT_EYE)].mean(0),
                    points[list(RIGHT_EYE)].mean(0),
                    points[NOSE_TIP],
                    points[LEFT_MOUTH],
                    points[RIGHT_MOUTH],
                ]
            )
            faces.append(Face(image, index, box, score, tuple((x, y) for x, y in five.tolist())))
    return faces


def upright_landmarks(box: Box) -> Points:
    """The landmarks of an upright frontal face, as large as fits into the box, in its middle.

    Raises:
        ValueError: a box without area.
    """
    _check_box(box, "The box")
    x0, y0, x1, y1 = FACE_BOX
    scale = min((box[2] - box[0]) / (x1 - x0), (box[3] - box[1]) / (y1 - y0))
    dx, dy = ((box[i] + box[i + 2]) / 2 - scale * (FACE_BOX[i] + FACE_BOX[i + 2]) / 2 for i in (0, 1))
    return tuple((scale * x + dx, scale * y + dy) for x, y in TEMPLATE)


def _check_box(box: Box, name: str) -> None:
    if len(box) != 4 or not all(map(math.isfinite, box)) or not (box[2] > box[0] and box[3] > box[1]):
        raise ValueError(f"{name} was {tuple(box)}; expected x0 < x1 and y0 < y1 in px.")


def crop_regions(crops: Crops) -> list[Region]:
    """Where each crop lies in its photograph; crops that lie wholly outside are left out."""
    regions = []
    far = crops.size - 0.5
    corners = torch.tensor([[-0.5, -0.5], [far, -0.5], [-0.5, far], [far, far]], dtype=torch.float64)
    for mask, affine, face in zip(crops.masks, crops.affines, crops.faces, strict=True):
        height, width = crops.photos[face.image]
        back = invert(affine)
        placed = transform(back, corners)
        left, top = (max(0, math.floor(v + 0.5)) for v in placed.amin(0).tolist())
        right, bottom = (
            min(n, math.ceil(v + 0.5)) for v, n in zip(placed.amax(0).tolist(), (width, height), strict=True)
        )
        if right <= left or bottom <= top:
            continue
        shift = torch.tensor([[1, 0, -left], [0, 1, -top]], dtype=torch.float64)
        part = warp(mask, compose(shift, back), (bottom - top, right - left), "zeros").clamp(0, 1)[0]
        regions.append(Region((left, top, right, bottom), part, face))
    return regions
