"""Faces in pictures that lie on their side or stand on their head, as scans do.

Networks that find faces know upright ones. Of an upside-down face they still see something, take the forehead for the
mouth, and are less sure of it than of the face turned the right way: which way is up is where they are surest. So a
picture without a clear upright face is looked at in all four turns, and each face is taken from the turn that sees it
best. The other turns only count where they are sure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..records import Face
from .detectors.overlap import overlaps

log = logging.getLogger(__name__)

Found = tuple[Tensor, Tensor, Tensor]  # boxes (n,4), points (n,5,2) [px] and scores (n,), as detectors have them
Look = Callable[[Tensor, float], Found]

CLEAR = 0.9  # a score from which the likeliest face is upright: upside down they reach 0.88
POOR = 0.75  # a score below which the picture is looked at in all turns at once: on their side they reach 0.76
SIDEWAYS = 0.78  # a score from which the likeliest face does not lie on its side
SURE = 0.6  # a score that a turned picture's likeliest face needs
ALONE = 0.85  # and that a face needs which is turned otherwise than the likeliest one
LEAD = 0.03  # how much surer one turn must be of a face than another
AROUND = 2.0  # sides of a face: the part about it that is looked at in other turns
CUT = 160  # [px] that this part is shrunk to
SAME = 0.4  # share of the smaller box inside the other from which two turns see the same face


def turn(picture: Tensor, quarters: int) -> Tensor:
    """A picture (C,H,W) turned to the left by so many quarters."""
    return torch.rot90(picture, quarters, (1, 2))


def back(found: Found, quarters: int, height: int, width: int) -> Found:
    """What was found in a turned picture, in the coordinates of the picture (`height` x `width`) before."""
    boxes, points, scores = found
    corners = boxes.unflatten(1, (2, 2))
    boxes, points = (_back(x, quarters, height, width) for x in (corners, points))
    return torch.cat([boxes.amin(1), boxes.amax(1)], 1), points, scores


def doubtful(photo: Tensor, found: Found, look: Look) -> bool:
    """Whether a photograph (3,H,W) should be looked at in all turns, by what was found in it as it is.

    Args:
        photo: in [0,1].
        found: the faces.
        look: finds faces in a small picture, given the score that they need.
    """
    boxes, _, scores = found
    best = float(scores.max()) if len(scores) else 0.0
    if not POOR <= best < CLEAR:
        return best < POOR
    x0, y0, x1, y1 = boxes[scores.argmax()].tolist()
    half = AROUND * max(x1 - x0, y1 - y0) / 2
    left, top = (max(0, round((a + b) / 2 - half)) for a, b in ((x0, x1), (y0, y1)))
    part = photo[:, top : round((y0 + y1) / 2 + half), left : round((x0 + x1) / 2 + half)].float()
    scale = CUT / max(part.shape[-2:])
    if scale < 1:
        small = [max(1, round(n * scale)) for n in part.shape[-2:]]
        part = F.interpolate(part[None], small, mode="bilinear", antialias=True)[0]
    turns = (2,) if best >= SIDEWAYS else (1, 2, 3)
    return any(bool((look(turn(part, k), 0.5)[2] > best - LEAD).any()) for k in turns)


def settled(looks: Sequence[Found]) -> Found:
    """Each face once, as the turn sees it that is surest of it.

    Args:
        looks: what was found in the picture as it is and turned by one, two and three quarters, in the coordinates of
            the picture as it is.

    Returns:
        The faces, likeliest first. Where another turn is about as sure of a face it is left out.
    """
    best = [float(scores.max()) if len(scores) else 0.0 for _, _, scores in looks]
    way = max(range(len(looks)), key=lambda k: best[k])
    if best[way] < SURE:
        way = 0
    boxes, points, scores = (torch.cat(part) for part in zip(*looks, strict=True))
    ways = torch.cat([torch.full((len(scores),), k) for k, (_, _, scores) in enumerate(looks)])
    same = torch.maximum(overlaps(boxes, boxes)[1], overlaps(boxes, boxes)[1].T) > SAME
    rivals = torch.where(same & (ways[:, None] != ways), scores, 0.0).amax(1) if len(boxes) else scores
    fits = (scores >= ALONE) | (ways == way)
    kept = fits & (scores > rivals + LEAD)
    unsure = fits & ~kept & (scores > rivals - LEAD)
    if bool(unsure.any()):
        log.warning("Which way up a face is cannot be told; it is left alone.")
    order = torch.where(kept, scores, -1.0).argsort(descending=True, stable=True)[: int(kept.sum())]
    return boxes[order], points[order], scores[order]


def quarters_of(face: Face) -> int:
    """By how many quarters a picture is to be turned to the left for its face to be upright: 0 to 3."""
    points = torch.tensor(face.landmarks, dtype=torch.float64)
    down = points[3:].mean(0) - points[:2].mean(0)
    ways = torch.tensor([[0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    return int((ways @ down).argmax())


def turn_said(faces: Iterable[Face]) -> str | None:
    """How a picture seems turned, by more than half of its faces, in words; None where it seems upright."""
    turns = [quarters_of(face) for face in faces if face.landmarks]
    words = {1: "turned to the right", 2: "upside down", 3: "turned to the left"}
    return next((words[k] for k in words if 2 * turns.count(k) > len(turns)), None)


def _back(points: Tensor, quarters: int, height: int, width: int) -> Tensor:
    """Points (...,2) of a turned picture in the picture before."""
    x, y = points.unbind(-1)
    if quarters == 1:
        x, y = width - 1 - y, x
    elif quarters == 2:
        x, y = width - 1 - x, height - 1 - y
    elif quarters == 3:
        x, y = y, height - 1 - x
    return torch.stack([x, y], -1)
