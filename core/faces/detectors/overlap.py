"""Overlap of boxes, and one answer for each face."""

from __future__ import annotations

import torch
from torch import Tensor

SAME = 0.4  # IoU from which two boxes are taken for the same face
INSIDE = 0.8  # share of a smaller box inside a larger one from which it is a part of it: an eye taken for a face
PART = 0.7  # a part is dropped unless it is likelier than the whole by more than this factor says
MOST = 4000  # candidates looked at, likeliest first; the table of overlaps grows with the square


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU, and the share of each of `b` inside `a`, (n,m) each, of boxes (n,4) and (m,4) as x0, y0, x1, y1."""
    sides = torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])
    inter = sides.clamp(min=0).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).clamp(min=0).prod(-1) for x in (a, b))
    union = area_a[:, None] + area_b[None] - inter
    return inter / union.clamp(min=1e-6), inter / area_b[None].clamp(min=1e-6)


def suppress(boxes: Tensor, scores: Tensor) -> Tensor:
    """Indices (k,) of the boxes (n,4) to keep, likeliest first: one for each face (greedy non-maximum suppression)."""
    order = scores.argsort(descending=True, stable=True)[:MOST]
    same = overlaps(boxes[order], boxes[order])[0] > SAME
    gone = torch.zeros(len(order), dtype=torch.bool)
    kept = []
    for i in range(len(order)):
        if not gone[i]:
            kept.append(i)
            gone |= same[i]
    order = order[torch.tensor(kept, dtype=torch.long)]
    part = (overlaps(boxes[order], boxes[order])[1] > INSIDE) & (scores[order, None] > PART * scores[order])
    part.fill_diagonal_(False)
    return order[~part.any(0)]
