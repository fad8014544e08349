"""Folds, scratches and the like on faces, found by a network (:mod:`..models.scratches`) and filled from around them.

What is not surely damage is left: a mole, a wrinkle and a strand of hair are the person's. So only what is large
counts, and only on the face itself.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..files.checkpoints import read
from ..models.scratches import CELL, ScratchConfig, ScratchNet
from ..records import Crops
from .crop import face_mask, maps_into_crops, template_view
from .mending import mended_crops, widened

WEIGHTS = Path(__file__).parents[1] / "weights" / "scratches.safetensors"
# A place is damage where the network is sure of some of its cells, holds the others for possible, and it is large: long
# as a fold or a scratch, or broad as lost emulsion. Sizes are in cells of 4 px of the template.
SURE, POSSIBLE = 0.99, 0.6
SURE_CELLS, LONG, BROAD = 10, 14, 80
INNER = 0.95  # of the face's mask, from which a place is the face itself: around it frames and borders are lines, too


def mend_scratches(crops: Crops) -> tuple[Crops, Tensor]:
    """Find what is damage on faces, and fill it.

    Args:
        crops: N aligned faces.

    Returns:
        The crops with it filled, the very same where there is none, and how much of each place is damage (N,1,S,S) in
        [0,1].
    """
    if not len(crops):
        return crops, crops.masks
    found = maps_into_crops(crops, scratches_of(template_view(crops), scratch_network())).round().clamp(0, 1)
    if not bool(found.any()):
        return crops, found
    places = torch.stack([widened(mask) for mask in found])
    return mended_crops(crops, found), places.to(crops.masks)


@torch.no_grad()
def scratches_of(faces: Tensor, network: nn.Module) -> Tensor:
    """Where aligned faces (N,3,512,512) in [0,1] are damaged: (N,1,512,512), 1 or 0.

    The network is small and runs on the CPU.
    """
    own = inner_cells()
    cells = []
    for face in faces.float().cpu():
        chances = network(face[None]).sigmoid()[0, 0]
        cells.append(_large((chances > POSSIBLE) & own, chances > SURE))
    return F.interpolate(torch.stack(cells)[:, None].float(), scale_factor=float(CELL)).to(faces)


def inner_cells() -> Tensor:
    """Which cells (128,128) of the template are the face itself."""
    return F.avg_pool2d(face_mask()[None], CELL)[0, 0] > INNER


def _large(possible: Tensor, sure: Tensor) -> Tensor:
    """The connected places of `possible` (H,W) that are damage."""
    kept = torch.zeros_like(possible)
    left = {(row, column) for row, column in possible.nonzero().tolist()}
    while left:
        place, edge = [], [left.pop()]
        while edge:
            row, column = edge.pop()
            place.append((row, column))
            near = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            left -= near
            edge += near
        rows, columns = torch.tensor(place).unbind(1)
        extent = max(int(rows.max() - rows.min()), int(columns.max() - columns.min())) + 1
        if int(sure[rows, columns].sum()) >= SURE_CELLS and (extent >= LONG or len(place) >= BROAD):
            kept[rows, columns] = True
    return kept


@functools.cache
def scratch_network(path: Path = WEIGHTS) -> ScratchNet:
    """The scratch network of a file, read when first needed and kept."""
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in read(path).items()}
    network = ScratchNet(ScratchConfig.from_state(state))
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
