"""Pictures seen at other places, by operators that every device has: mps repeats no borders itself."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def sample(pictures: Tensor, grid: Tensor) -> Tensor:
    """Values of pictures (N,C,h,w) at places (N,y,x,2), bilinear; beyond the outermost pixels they go on as these.

    A place is (x, y) in [-1,1] between the pictures' outer edges. It is `grid_sample` with its border repeated.
    """
    height, width = pictures.shape[-2:]
    reach = grid.new_tensor([1 - 1 / width, 1 - 1 / height])
    return F.grid_sample(pictures, grid.clamp(-reach, reach), align_corners=False)
