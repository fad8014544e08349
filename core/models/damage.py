"""The damage network: how far a face is from what it was, without having seen that.

What it says of a face is what LPIPS (Zhang et al., CVPR 2018) would say of the face beside the undamaged one, place by
place and then in the mean. So one number covers blur, noise, the blocks of JPEG, halftone and scratches, whichever it
is, and a sharp face comes to nothing.

Provenance: ours, trained with ``core/training/damage.py``. Licence of code: Apache-2.0. Licence of weights: see
MODEL_CARD.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .restorer import ResBlock

STRIDE = 4  # pixels that are taken together at first
DETAIL = 8.0  # how much stronger detail is seen than brightness: it is what damage shows in, and small


@dataclass(frozen=True)
class DamageConfig:
    """Sizes of a :class:`DamageNet`.

    Attributes:
        widths: channels at 128, 64, 32 and 16 px.
    """

    widths: tuple[int, int, int, int] = (24, 32, 48, 64)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> DamageConfig:
        """Read the sizes off a checkpoint's tensor shapes."""
        first, *others = (state[f"levels.{i}.0.weight"].shape[0] for i in range(4))
        return cls((first, *others))  # type: ignore[arg-type]


class DamageNet(nn.Module):
    """Aligned faces to how damaged they are (see the head of this file)."""

    def __init__(self, config: DamageConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DamageConfig()
        before = 3 * STRIDE * STRIDE + 3
        self.levels = nn.ModuleList()
        for i, width in enumerate(config.widths):
            first = nn.Conv2d(before, width, 4, 2, 1) if i else nn.Conv2d(before, width, 3, padding=1)
            self.levels.append(nn.Sequential(first, ResBlock(width), nn.ReLU()))
            before = width
        self.out = nn.Conv2d(before, 1, 1)

    def places(self, faces: Tensor) -> Tensor:
        """(N,3,S,S) RGB in [0,1], S a multiple of 32, to the damage of each place (N,1,S/32,S/32), 0 or more."""
        faces = (faces * 2 - 1).to(self.out.weight.dtype)
        means = F.avg_pool2d(faces, STRIDE)
        detail = faces - F.interpolate(means, scale_factor=STRIDE)
        x = torch.cat([F.pixel_unshuffle(DETAIL * detail, STRIDE), means], 1)
        for level in self.levels:
            x = level(x)
        return F.softplus(self.out(x).float())

    def forward(self, faces: Tensor) -> Tensor:
        """How damaged faces are.

        Args:
            faces: (N,3,512,512) RGB in [0,1], aligned to the template.

        Returns:
            (N,) float32, 0 (not at all) or more; severe damage is about 0.65.
        """
        return self.places(faces).mean((1, 2, 3))
