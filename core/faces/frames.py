"""Faces that stay as they are from frame to frame: what is measured on them is measured on all together.

Noise alone makes one frame seem more damaged than the next; treated each by itself, a still face would flicker.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..records import Crops
from .crop import template_view
from .detectors.overlap import overlaps

STAYS = 0.5  # overlap of boxes (IoU) from which a face is where it was
CELLS = 16  # of a side, in which two views are compared: noise is averaged out
# Mean difference of these up to which nothing but noise differs. White noise of 0.06 makes 0.002; twenty of London's
# people, photographed alike, are 0.038 apart at least.
SAME = 0.03


def pooled(crops: Crops, values: Sequence[float]) -> list[float]:
    """Values of faces, of those that stay as they are in neighbouring photographs of the batch their mean.

    Args:
        crops: N faces, ordered by photograph.
        values: N.
    """
    if len({face.image for face in crops.faces}) < 2:
        return list(values)
    views = F.adaptive_avg_pool2d(template_view(crops).float(), CELLS)
    boxes = torch.tensor([face.box for face in crops.faces])
    groups: list[list[int]] = []
    for n in range(len(crops)):
        group = next((group for group in groups if _stays(crops, views, boxes, group[-1], n)), None)
        if group is None:
            groups.append([n])
        else:
            group.append(n)
    means = {n: sum(values[m] for m in group) / len(group) for group in groups for n in group}
    return [means[n] for n in range(len(crops))]


def _stays(crops: Crops, views: Tensor, boxes: Tensor, last: int, n: int) -> bool:
    """Whether a face is the very one of the frame before."""
    if crops.faces[n].image != crops.faces[last].image + 1:
        return False
    shared, _ = overlaps(boxes[last, None], boxes[n, None])
    return float(shared) >= STAYS and float((views[n] - views[last]).abs().mean()) <= SAME
