"""LPIPS without its package, for machines that have none: the same number, from tensors in a file.

Provenance: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, written
anew. The weights are read off :func:`.judges.lpips`, to which this is equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures that the trunks were trained on
SMALL = 1e-10  # beside a feature's length


@dataclass(frozen=True)
class Convolution:
    """One of a trunk: its stride, its padding, the pooling before it (0: none), and whether it is compared."""

    stride: int
    padding: int
    pool: int
    compared: bool


TRUNKS = {
    "alex": (
        Convolution(4, 2, 0, True),
        Convolution(1, 2, 3, True),
        Convolution(1, 1, 3, True),
        Convolution(1, 1, 0, True),
        Convolution(1, 1, 0, True),
    ),
    "vgg": tuple(Convolution(1, 1, 2 if i in (2, 4, 7, 10) else 0, i in (1, 3, 6, 9, 12)) for i in range(13)),
}


class Perceptual(nn.Module):
    """How different two pictures look.

    Args:
        net: ``"alex"`` or ``"vgg"``.
        state: ``conv{i}.weight`` and ``.bias``, and ``lin{j}.weight`` (C,) of each level compared; a trunk may
            end early.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, net: str, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        count = sum(name.startswith("conv") and name.endswith("weight") for name in state)
        self.trunk = TRUNKS[net][:count]
        for name, tensor in state.items():
            self.register_buffer(name.replace(".", "_"), tensor.float())
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None])

    def features(self, x: Tensor) -> list[Tensor]:
        """What is compared of pictures (N,3,H,W) in [0,1], fine to coarse."""
        x, found = (x - self.mean) / self.deviation, []
        for i, convolution in enumerate(self.trunk):
            if convolution.pool:
                x = F.max_pool2d(x, convolution.pool, 2)
            weight, bias = getattr(self, f"conv{i}_weight"), getattr(self, f"conv{i}_bias")
            x = F.relu(F.conv2d(x, weight, bias, convolution.stride, convolution.padding))
            if convolution.compared:
                found.append(x)
        return found

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Pictures (N,3,H,W) in [0,1] twice to (N,1,1,1)."""
        value = x.new_zeros(())
        for j, (a, b) in enumerate(zip(self.features(x), self.features(y), strict=True)):
            a, b = (f.float() / (f.float().norm(dim=1, keepdim=True) + SMALL) for f in (a, b))
            weight = getattr(self, f"lin{j}_weight")[:, None, None]
            value = value + ((a - b).square() * weight).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        return value


def packed(net: str, metric: nn.Module, convolutions: int | None = None) -> dict[str, Tensor]:
    """The tensors of :func:`.judges.lpips`, for :class:`Perceptual`; of the first `convolutions` alone, if said."""
    trunk = TRUNKS[net][:convolutions]
    state: dict[str, Tensor] = {}
    published: Any = metric.metric
    layers = [m for m in published.net.modules() if isinstance(m, nn.Conv2d)]
    for i, layer in enumerate(layers[: len(trunk)]):
        state |= {f"conv{i}.weight": layer.weight.detach(), f"conv{i}.bias": layer.bias.detach()}  # type: ignore[union-attr]
    levels = sum(convolution.compared for convolution in trunk)
    return state | {f"lin{j}.weight": published.lins[j].model[-1].weight.detach().flatten() for j in range(levels)}
