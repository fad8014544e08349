"""The prior: a flow from the latent of a damaged face to latents of clean ones.

Provenance: ours, after a reading of CLR-Face (IJCAI 2024): a generative prior over clean latents, conditioned on the
degraded one and started from it. The flow is a rectified flow (Liu et al., ICLR 2023) from a regressed estimate and a
little noise, as in PMRF (Ohayon et al., ICLR 2025). Licence of code: Apache-2.0. Licence of weights: see MODEL_CARD.md.

With h the damaged face's latent, q its code words and g the restorer's gate, all latents normalised by channel,

    x_0 = h + g·(q - h) + 0.3·noise,    x_t = (1 - t)·x_0 + t·x_1,    v(x_t, t | h, q, r) = E[x_1 - x_0 | x_t, h, q, r],

where x_1 is the clean face's latent and r what references gave: their latent, aligned with the face, times its gate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..records import ReferenceFeatures
from .restorer import TransformerLayer

# Ours. With PMRF's 0.1, several steps end where a single step ends: nothing is left to decide after the first.
NOISE = 0.3
FREQUENCIES = 32  # of the time


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of a :class:`Prior`.

    Attributes:
        latent: channels of the latent.
        side: of the latent.
        dim, layers, heads: of the transformer over its 2x2 patches.
    """

    latent: int = 128
    side: int = 32
    dim: int = 192
    layers: int = 8
    heads: int = 6

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> PriorConfig:
        """Read the sizes off a checkpoint's tensor shapes. Heads cannot be: they have 32 channels each."""
        layers = {int(m[1]) for key in state if (m := re.match(r"layers\.(\d+)\.", key))}
        dim = state["position"].shape[-1]
        return cls(state["mean"].shape[1], 2 * state["position"].shape[1], dim, len(layers), dim // 32)


def given_by(reference: ReferenceFeatures, content: Tensor) -> Tensor:
    """What the prior reads of what references give.

    Args:
        reference: of N faces.
        content: (N,L,h,w) the faces' latent.

    Returns:
        (N,L+1,h,w): the references' latent times the gate, and the gate; 0 where nothing is taken.
    """
    gate = reference.gates[content.shape[-1]]
    return torch.cat([reference.latent * gate, gate], 1).to(content)


class Prior(nn.Module):
    """The velocity of the flow (see the head of this file), and the mask that guidance passes through.

    Buffers `mean` and `spread` (1,L,1,1) normalise latents; `mask` (1,1,h,w) in [0,1] says where a latent may be moved
    towards an identity (see :mod:`..refinement`).
    """

    mean: Tensor
    spread: Tensor
    mask: Tensor

    def __init__(self, config: PriorConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or PriorConfig()
        read = 4 * c.latent + 1  # x, h, q, and what references gave with its gate
        self.register_buffer("mean", torch.zeros(1, c.latent, 1, 1))
        self.register_buffer("spread", torch.ones(1, c.latent, 1, 1))
        self.register_buffer("mask", torch.ones(1, 1, c.side, c.side))
        self.proj_in = nn.Linear(4 * read, c.dim)
        self.position = nn.Parameter(torch.randn(1, c.side // 2, c.side // 2, c.dim) * 0.02)
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, c.dim), nn.GELU(), nn.Linear(c.dim, c.dim))
        self.layers = nn.ModuleList(TransformerLayer(c.dim, c.heads) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.dim)
        self.proj_out = nn.Linear(c.dim, 4 * c.dim)
        self.mix = nn.Conv2d(read, c.dim, 1)
        self.out = nn.Conv2d(c.dim, c.latent, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def normalise(self, latent: Tensor) -> Tensor:
        """A latent (N,L,h,w) as the restorer has it, as the flow has it."""
        return (latent - self.mean) / self.spread

    def restore(self, latent: Tensor) -> Tensor:
        """The reverse of :meth:`normalise`."""
        return latent * self.spread + self.mean

    def start(self, content: Tensor, code_latent: Tensor, gate: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """Where the flow starts, without the noise, and what its velocity depends on besides x and t.

        Args:
            content, code_latent: (N,L,h,w) the face's latent and its code words, as the restorer has them.
            gate: (N,1,h,w) the restorer's, in [0,1].
            given: see :func:`given_by`; None without references.

        Returns:
            (N,L,h,w) float32, and (N,3L+1,h,w).
        """
        if given is None:
            given = content.new_zeros(len(content), content.shape[1] + 1, *content.shape[-2:])
        taken = given[:, -1:]
        # The normalised latent times the gate, written so that it is 0 where the gate is 0.
        aligned = (given[:, :-1] - taken * self.mean) / self.spread
        condition = torch.cat([self.normalise(content), self.normalise(code_latent), aligned, taken], 1)
        return self.normalise(content + gate * (code_latent - content)).float(), condition

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Velocity (N,L,h,w) at x (N,L,h,w), normalised, and times t (N,) in [0,1]; see :meth:`start`."""
        rates = torch.exp(torch.arange(FREQUENCIES, device=x.device) * (-math.log(1000) / FREQUENCIES))
        angles = 1000 * t.float()[:, None] * rates
        time = self.time(torch.cat([angles.cos(), angles.sin()], 1).to(x))
        seen = torch.cat([x, condition.to(x)], 1)
        rows = x.shape[-2] // 2
        tokens = self.proj_in(rearrange(seen, "n c (y a) (x b) -> n y x (a b c)", a=2, b=2))
        tokens = (tokens + self.position + time[:, None, None]).flatten(1, 2)
        for layer in self.layers:
            tokens = layer(tokens)
        places = rearrange(self.proj_out(self.norm(tokens)), "n (y x) (a b c) -> n c (y a) (x b)", y=rows, a=2, b=2)
        # A patch covers four places; what is read at each of them tells them apart.
        return self.out(F.gelu(places + self.mix(seen)))
