"""The built-in face detector: an anchor-free feature pyramid that gives score, box and five points at each place.

Ours, trained with ``core/training/detector.py``. The ideas are published ones: a pyramid with shared heads (Lin et al.,
"Feature Pyramid Networks", CVPR 2017; Tian et al., "FCOS", ICCV 2019), box and points relative to the place, with sizes
as logarithms (Ge et al., "YOLOX", 2021; Wu et al., "YuNet", 2023). Licence of code and weights: Apache-2.0; the model
card names the data. Batch normalisation exists in training only: the shipped weights have it folded in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)

Folded = TypeVar("Folded", bound=nn.Module)


@dataclass(frozen=True)
class DetectorConfig:
    """Sizes of the network.

    Attributes:
        widths: channels at strides 2, 4, 8, 16 and 32.
        blocks: residual blocks at strides 4, 8, 16 and 32.
        neck: channels of the pyramid and the heads.
        normalise: batch normalisation after each convolution (training), else a bias.
    """

    widths: tuple[int, int, int, int, int] = (16, 24, 48, 80, 96)
    blocks: tuple[int, int, int, int] = (0, 1, 2, 2)
    neck: int = 48
    normalise: bool = False


class Unit(nn.Module):
    """3x3 or 1x1 convolution, normalisation in training, ReLU unless told otherwise."""

    def __init__(
        self, cin: int, cout: int, normalise: bool, *, kernel: int = 3, stride: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=not normalise)
        self.norm = nn.BatchNorm2d(cout) if normalise else nn.Identity()
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(B,cin,H,W) → (B,cout,H/stride,W/stride)."""
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.active else x


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int, normalise: bool) -> None:
        super().__init__()
        self.first = Unit(channels, channels, normalise)
        self.second = Unit(channels, channels, normalise, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) → the same shape."""
        return F.relu(x + self.second(self.first(x)))


class FaceDetector(nn.Module):
    """Pictures (B,3,H,W) in [0,1], H and W multiples of 32 → predictions at every place of every stride."""

    def __init__(self, config: DetectorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DetectorConfig()
        normalise, widths = config.normalise, config.widths
        self.stem = Unit(3, widths[0], normalise, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(Unit(cin, cout, normalise, stride=2), *(Residual(cout, normalise) for _ in range(blocks)))
            for cin, cout, blocks in zip(widths[:-1], widths[1:], config.blocks, strict=True)
        )
        self.laterals = nn.ModuleList(Unit(c, config.neck, normalise, kernel=1, active=False) for c in widths[2:])
        # Shared by the strides, whose statistics differ: normalising by one set of them would tell training from use.
        self.tower = nn.Sequential(Unit(config.neck, config.neck, False), Unit(config.neck, config.neck, False))
        self.head = nn.Conv2d(config.neck, 15, 1)  # score, box, points: one set of weights for all strides

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict.

        Args:
            pictures: (B,3,H,W) RGB in [0,1]; H and W multiples of 32.

        Returns:
            Score logits (B,P), boxes (B,P,4) as x0, y0, x1, y1 and points (B,P,5,2), both in px of the picture with
            whole numbers at centres of pixels. Places run through the strides, rows, columns.
        """
        x = self.stem(pictures * 4 - 2)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        pyramid = [lateral(f) for lateral, f in zip(self.laterals, features[1:], strict=True)]
        for i in (1, 0):
            pyramid[i] = pyramid[i] + F.interpolate(pyramid[i + 1], scale_factor=2, mode="nearest")
        maps = [self.head(self.tower(f)).float() for f in pyramid]
        raw = torch.cat([m.flatten(2) for m in maps], 2).transpose(1, 2)
        centres, strides = places([(m.shape[-2], m.shape[-1]) for m in maps], raw.device)
        middle = centres + raw[..., 1:3] * strides
        half = raw[..., 3:5].clamp(max=8).exp() * strides / 2
        points = centres[:, None] + raw[..., 5:].unflatten(-1, (5, 2)) * strides[:, None]
        return raw[..., 0], torch.cat([middle - half, middle + half], -1), points


def places(shapes: list[tuple[int, int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres (P,2) [px] and strides (P,1) of the places of maps (height, width), one map for each stride."""
    centres, strides = [], []
    for (h, w), stride in zip(shapes, STRIDES, strict=True):
        ys, xs = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
        centres.append(torch.stack([xs, ys], -1).reshape(-1, 2) * stride + (stride - 1) / 2)
        strides.append(torch.full((h * w, 1), float(stride), device=device))
    return torch.cat(centres), torch.cat(strides)


def fold(network: Folded) -> Folded:
    """The same function without batch normalisation: scale and shift go into each convolution of a :class:`Unit`."""
    state = network.state_dict()
    folded = type(network)(replace(network.config, normalise=False))  # type: ignore[type-var]
    result = {}
    for key in folded.state_dict():
        module = key.removesuffix(".conv.weight").removesuffix(".conv.bias")
        if f"{module}.norm.weight" not in state:  # as in the detector's tower and heads
            result[key] = state[key]
            continue
        scale = state[f"{module}.norm.weight"] / (state[f"{module}.norm.running_var"] + 1e-5).sqrt()
        if key.endswith("weight"):
            result[key] = state[key] * scale[:, None, None, None]
        else:
            result[key] = state[f"{module}.norm.bias"] - state[f"{module}.norm.running_mean"] * scale
    folded.load_state_dict(result)
    return folded.eval()
