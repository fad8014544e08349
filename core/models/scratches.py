"""The scratch network: where folds, scratches, tears, ink and lost emulsion lie on a face.

A small U-Net (Ronneberger et al., MICCAI 2015) that looks at what differs from its surroundings, as it is and in units
of the contrast there: a fold is as plain in a pale print as in a good one. It is told where on the face it looks (as
CoordConv does: Liu et al., NeurIPS 2018), for lips and eyelids are lines, too, but have their places.

Provenance: ours, trained with ``core/training/scratches.py``. Licence of code: Apache-2.0. Licence of weights: see
MODEL_CARD.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CELL = 4  # px of a side that are said together
AROUND = 8  # px on each side that a pixel is compared with
DETAIL = 8.0  # how much stronger detail and contrast are seen than brightness
FAINT = 0.02  # contrast below which a surface counts as even


@dataclass(frozen=True)
class ScratchConfig:
    """Sizes of a :class:`ScratchNet`.

    Attributes:
        widths: channels at a quarter, an eighth, a sixteenth and a thirty-second of the picture's side.
    """

    widths: tuple[int, ...] = (32, 48, 64, 64)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> ScratchConfig:
        """Read the sizes off a checkpoint's tensor shapes."""
        downs = sorted(name for name in state if name.startswith("down.") and name.endswith(".0.0.weight"))
        return cls((state["entry.0.0.weight"].shape[0], *(state[name].shape[0] for name in downs)))


class ScratchNet(nn.Module):
    """Aligned faces to where they are damaged (see the head of this file)."""

    def __init__(self, config: ScratchConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ScratchConfig()
        first, *_ = widths = config.widths
        self.entry = nn.Sequential(_block(2 * CELL * CELL + 7, first, side=1), _block(first, first))
        steps = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Sequential(_block(a, b, stride=2), _block(b, b)) for a, b in steps)
        self.up = nn.ModuleList(_block(b + a, a) for a, b in steps)
        self.out = nn.Conv2d(first, 1, 1)

    def forward(self, faces: Tensor, places: Tensor | None = None) -> Tensor:
        """How likely each cell of 4x4 px is damaged.

        Args:
            faces: (N,3,S,S) RGB in [0,1], aligned to the template, or pieces of such faces; S a multiple of 32.
            places: of pieces (N,2,S/4,S/4), x and y of each cell on its face, -1 to 1; None is the whole face.

        Returns:
            (N,1,S/4,S/4) logits.
        """
        if places is None:
            places = places_of(faces.new_tensor([[-1.0, -1, 1, 1]]), faces.shape[-1] // CELL).expand(
                len(faces), -1, -1, -1
            )
        grey = faces.mean(1, keepdim=True)
        detail = grey - _around(grey)
        contrast = _around(detail.square()).sqrt()
        fine = torch.cat([DETAIL * detail, detail / (contrast + FAINT)], 1)
        coarse = torch.cat([grey * 2 - 1, faces * 2 - 1, DETAIL * contrast], 1)
        x = self.entry(torch.cat([F.pixel_unshuffle(fine, CELL), F.avg_pool2d(coarse, CELL), places], 1))
        skips = []
        for level in self.down:
            skips.append(x)
            x = level(x)
        for level, skip in zip(reversed(self.up), reversed(skips), strict=True):
            x = level(torch.cat([F.interpolate(x, scale_factor=2.0), skip], 1))
        return self.out(x)


def places_of(windows: Tensor, cells: int) -> Tensor:
    """Where the cells of pieces lie on their faces.

    Args:
        windows: (N,4), left, top, right and bottom edge of each piece on its face, which goes from -1 to 1.
        cells: of a side.

    Returns:
        (N,2,cells,cells): x and y of each cell's centre.
    """
    steps = (torch.arange(cells, device=windows.device) + 0.5) / cells
    x, y = (windows[:, n, None] + (windows[:, n + 2, None] - windows[:, n, None]) * steps for n in (0, 1))
    return torch.stack([x[:, None, :].expand(-1, cells, -1), y[:, :, None].expand(-1, -1, cells)], 1)


def _around(x: Tensor) -> Tensor:
    """The mean of what is around each pixel; along one axis after the other, which is much quicker."""
    side = 2 * AROUND + 1
    return F.avg_pool2d(F.avg_pool2d(F.pad(x, (AROUND,) * 4, mode="replicate"), (side, 1), 1), (1, side), 1)


def _block(before: int, width: int, stride: int = 1, side: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(before, width, side, stride, side // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
