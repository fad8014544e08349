"""The scratch network: where an aligned face shows folds, scratches, specks and tears in place of itself.

Provenance: ours, to be trained with ``core/training/scratches.py``; no weights ship yet, and nothing uses it. Licence:
Apache-2.0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .restorer import ResBlock

STRIDE = 2  # pixels that are taken together at first


@dataclass(frozen=True)
class ScratchConfig:
    """Sizes of a :class:`ScratchNet`.

    Attributes:
        widths: channels at 256, 128, 64 and 32 px.
    """

    widths: tuple[int, int, int, int] = (16, 32, 48, 64)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> ScratchConfig:
        """Read the sizes off a checkpoint's tensor shapes."""
        first, *others = (state[f"down.{i}.0.weight"].shape[0] for i in range(4))
        return cls((first, *others))  # type: ignore[arg-type]


class ScratchNet(nn.Module):
    """Coarse to see what is a face, fine to see what lies over it: a U of convolutions."""

    def __init__(self, config: ScratchConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ScratchConfig()
        widths = config.widths
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        before = 3 * STRIDE * STRIDE
        for i, width in enumerate(widths):
            first = nn.Conv2d(before, width, 4, 2, 1) if i else nn.Conv2d(before, width, 3, padding=1)
            self.down.append(nn.Sequential(first, ResBlock(width), nn.ReLU()))
            before = width
        for fine, coarse in itertools.pairwise(widths):
            self.up.append(nn.Sequential(nn.Conv2d(fine + coarse, fine, 3, padding=1), ResBlock(fine), nn.ReLU()))
        self.out = nn.Conv2d(widths[0], STRIDE * STRIDE, 1)

    def forward(self, faces: Tensor) -> Tensor:
        """Logits (N,1,S,S) that a place of faces (N,3,S,S) in [0,1] is damage; S is a multiple of 16."""
        x = F.pixel_unshuffle((faces * 2 - 1).to(self.out.weight.dtype), STRIDE)
        seen = []
        for level in self.down:
            x = level(x)
            seen.append(x)
        for own, level in zip(seen[-2::-1], reversed(self.up), strict=True):
            x = level(torch.cat([own, F.interpolate(x, scale_factor=2.0, mode="nearest")], 1))
        return F.pixel_shuffle(self.out(x).float(), STRIDE)
