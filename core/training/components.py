"""Where eyes, nose and mouth lie in an aligned face: what losses, and eyes that compare, look at first."""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import TEMPLATE_SIZE, template

EYE, NOSE, MOUTH = (46.0, 30.0), (38.0, 44.0), (58.0, 30.0)  # half widths and heights [px of 512]
PART = 128  # px of the squares about eyes and mouth


def component_map(size: int) -> Tensor:
    """Attention to eyes, nose and mouth on the template: (1,1,size,size) float32 in [0,1], 1 at their centres.

    Four Gaussians, as wide as the parts, the mouth's between its corners; the largest counts.
    """
    scale = size / TEMPLATE_SIZE
    left, right, nose, left_corner, right_corner = template(size).float()
    centres = ((left, EYE), (right, EYE), (nose, NOSE), ((left_corner + right_corner) / 2, MOUTH))
    line = torch.arange(size, dtype=torch.float32)
    bumps = []
    for (x, y), (width, height) in centres:
        across = ((line - x) / (width * scale)).square()[None]
        down = ((line - y) / (height * scale)).square()[:, None]
        bumps.append(torch.exp(-(across + down)))
    return torch.stack(bumps).amax(0)[None, None]


def parts(faces: Tensor) -> Tensor:
    """The squares (3N,3,128,128) about both eyes and the mouth of aligned faces (N,3,512,512)."""
    left, right, _, *corners = template(faces.shape[-1]).tolist()
    mouth = [(a + b) / 2 for a, b in zip(*corners, strict=True)]
    squares = []
    for x, y in (left, right, mouth):
        row, column = round(y) - PART // 2, round(x) - PART // 2
        squares.append(faces[..., row : row + PART, column : column + PART])
    return torch.cat(squares)
