"""What style a face has, as a generator's layers read it: told from its tokens.

Provenance: ours. The style is the generator's (see :mod:`.styled`); it is told as so many numbers along the principal
axes of the styles of drawn people. Licence of code: Apache-2.0. Licence of weights: see MODEL_CARD.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .restorer import TransformerLayer


@dataclass(frozen=True)
class StyleConfig:
    """Sizes of a :class:`StyleHead`.

    Attributes:
        latent: channels of the latent.
        features: channels of the encoder's features at the latent's side.
        side: of the latent.
        narrow: channels that both are brought to.
        dim, layers, heads: of the transformer on quarters of that side.
        squeezed: numbers kept of each of its places.
        hidden: of the perceptron behind.
        axes: of the style that are told.
        style: numbers in a style.
        dropout: share of what is squeezed that is left out in training.
        rank: of the linear part as it ships; 0 is a full matrix, as it is trained.
    """

    latent: int = 128
    features: int = 128
    side: int = 32
    narrow: int = 64
    dim: int = 256
    layers: int = 2
    heads: int = 8
    squeezed: int = 32
    hidden: int = 512
    axes: int = 256
    style: int = 512
    dropout: float = 0.1
    rank: int = 0

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> StyleConfig:
        """Read the sizes off a checkpoint's tensor shapes. Heads cannot be: they have 32 channels each."""
        latent = state["embedding"].shape[1]
        narrow, seen = state["style.enter.weight"].shape[:2]
        dim = state["style.down1.weight"].shape[0]
        axes, style = state["style.axes"].shape
        return cls(
            latent=latent,
            features=seen - latent,
            side=state["place"].shape[-1],
            narrow=narrow,
            dim=dim,
            layers=len({key.split(".")[2] for key in state if key.startswith("style.layers.")}),
            heads=dim // 32,
            squeezed=state["style.squeeze.weight"].shape[0],
            hidden=state["style.hidden.weight"].shape[0],
            axes=axes,
            style=style,
            rank=state["style.direct.0.weight"].shape[0] if "style.direct.0.weight" in state else 0,
        )


class StyleHead(nn.Module):
    """Latent and features of a whole face to its style."""

    mean: Tensor
    axes: Tensor

    def __init__(self, config: StyleConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or StyleConfig()
        places = (c.side // 4) ** 2
        self.enter = nn.Conv2d(c.latent + c.features, c.narrow, 1)
        self.down0 = nn.Conv2d(c.narrow, 2 * c.narrow, 4, stride=2, padding=1)
        self.down1 = nn.Conv2d(2 * c.narrow, c.dim, 4, stride=2, padding=1)
        self.position = nn.Parameter(0.02 * torch.randn(1, places, c.dim))
        self.layers = nn.ModuleList(TransformerLayer(c.dim, c.heads) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.dim)
        self.squeeze = nn.Linear(c.dim, c.squeezed)
        # The linear part is fitted, not trained: for as few people as can be drawn nothing else is as good.
        seen = places * (c.latent + c.features)
        self.direct: nn.Module = nn.Linear(seen, c.axes)
        if c.rank:
            self.direct = nn.Sequential(nn.Linear(seen, c.rank, bias=False), nn.Linear(c.rank, c.axes))
        self.dropout = nn.Dropout(c.dropout)
        self.hidden = nn.Linear(places * c.squeezed, c.hidden)
        self.out = nn.Linear(c.hidden, c.axes)
        self.register_buffer("mean", torch.zeros(c.style))
        self.register_buffer("axes", torch.zeros(c.axes, c.style))
        for parameter in (*self.out.parameters(), *self.direct.parameters()):
            nn.init.zeros_(parameter)
        self.direct.requires_grad_(False)

    def forward(self, latent: Tensor, features: Tensor, w: float = 1.0) -> Tensor:
        """Tell the style.

        Args:
            latent: (N,latent,side,side).
            features: (N,features,side,side) of the encoder.
            w: how far the features are looked at; 0 tells the style from the latent alone.

        Returns:
            (N,style).
        """
        x = self.seen(latent, features, w)
        along = self.direct(coarse(x))
        x = self.down0(F.relu(self.enter(x)))
        x = self.down1(F.relu(x)).flatten(2).mT + self.position
        for layer in self.layers:
            x = layer(x)
        x = self.dropout(self.squeeze(self.norm(x)).flatten(1))
        return self.mean + (along + self.out(F.gelu(self.hidden(x)))) @ self.axes

    def seen(self, latent: Tensor, features: Tensor, w: float) -> Tensor:
        """What is looked at, (N,latent+features,side,side); the arguments are those of :meth:`forward`."""
        if w == 0:
            seen = latent.new_zeros(len(latent), self.config.features, *latent.shape[2:])
        else:
            seen = w * features.to(latent)
        return torch.cat([latent, seen], 1)


def coarse(x: Tensor) -> Tensor:
    """Means of 4x4 places of (N,C,side,side), as numbers (N,C*side²/16)."""
    return F.avg_pool2d(x, 4).flatten(1)
