"""Numbers of parts of an aligned face: how sharp hair, skin and eyes are, and the colours of its irises.

Regions are those of the template: the same for all faces, so that a row of a table is compared with another in the same
places.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..faces.crop import face_mask
from ..faces.measure import LUMA
from ..geometry import TEMPLATE_SIZE, template
from .components import component_map

# Ellipses on the template: centre and half axes, x then y [px of 512].
HEAD, FACE, HAIRLINE = ((256, 250), (215, 240)), ((256, 300), (110, 140)), ((256, 300), (135, 170))
PART = 0.37  # of the map of components, from which a place belongs to one
EYES = slice(0, 2)  # of the template's points
REACH, IRIS = 12, 7  # px of 512: how far an iris may lie from the template's eye, and the radius of what is looked at


def _ellipse(size: int, shape: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
    (x, y), (width, height) = shape
    line = (torch.arange(size) + 0.5) * (TEMPLATE_SIZE / size)
    return ((line - x) / width).square()[None] + ((line - y) / height).square()[:, None] <= 1


def region_masks(size: int = TEMPLATE_SIZE) -> dict[str, Tensor]:
    """Where ``hair``, ``skin`` and ``eyes`` are: (size,size) bool. Where hair is short, some of it is background."""
    parts = component_map(size)[0, 0] > PART
    row, eye_line = torch.arange(size)[:, None], float(template(size)[EYES, 1].mean())
    upper = row < (eye_line + size / 32)
    beside = (row - eye_line).abs() < size / 12
    return {
        "hair": _ellipse(size, HEAD) & ~_ellipse(size, HAIRLINE) & upper,
        "skin": _ellipse(size, FACE) & ~parts,
        "eyes": parts & beside,
    }


def gradient_energy(faces: Tensor, mask: Tensor | None = None) -> Tensor:
    """(N,) mean square of the differences of brightness between neighbours of faces (N,3,512,512).

    Where `mask` (512,512) is; without one on the face, as it is pasted.
    """
    mask = face_mask()[0] if mask is None else mask
    y = torch.tensordot(faces, faces.new_tensor(LUMA), dims=([1], [0]))
    mask = mask.to(faces)
    across, down = y.diff(dim=-1).square() * mask[:, 1:], y.diff(dim=-2).square() * mask[1:]
    return (across.sum((1, 2)) + down.sum((1, 2))) / mask.sum()


def iris_places(faces: Tensor) -> Tensor:
    """Where the irises of faces (N,3,512,512) are, (N,2,2) x, y [px]: near the template's eyes, where it is darkest."""
    luma = torch.tensordot(faces, faces.new_tensor(LUMA), dims=([1], [0]))[:, None]
    soft = F.avg_pool2d(luma, 2 * IRIS + 1, 1)  # of the disc's square, by its first corner
    found = []
    for x, y in template(TEMPLATE_SIZE)[EYES].round().long().tolist():
        left, top = x - REACH - IRIS, y - REACH - IRIS
        near = soft[:, 0, top : top + 2 * REACH + 1, left : left + 2 * REACH + 1]
        index = near.flatten(1).argmin(1)
        found.append(torch.stack([x - REACH + index % (2 * REACH + 1), y - REACH + index // (2 * REACH + 1)], 1))
    return torch.stack(found, 1)


def iris_colours(faces: Tensor, places: Tensor) -> Tensor:
    """The mean colours (N,2,3), CIE Lab, of discs of faces (N,3,512,512) in [0,1] at (N,2,2)."""
    from kornia.color import rgb_to_lab  # training on a lent machine does without it

    line = torch.arange(faces.shape[-1])
    lab = rgb_to_lab(faces)
    x, y = (places[..., i, None] for i in (0, 1))
    disc = ((line - x).square()[..., None, :] + (line - y).square()[..., None] <= IRIS**2).to(faces)
    return torch.einsum("nchw,nehw->nec", lab, disc) / disc.sum((2, 3))[..., None]


def iris_numbers(faces: Tensor, truth: Tensor) -> tuple[list[float], list[float]]:
    """How far the irises' colours are from the truth's, and how much less alike they are than the truth's [Lab]."""
    places = iris_places(truth)
    here, there = (iris_colours(x, places) for x in (faces, truth))
    off = (here - there).norm(dim=-1).mean(1)
    unlike = (here[:, 0] - here[:, 1]).norm(dim=-1) - (there[:, 0] - there[:, 1]).norm(dim=-1)
    return off.tolist(), unlike.tolist()
