"""How what references give is put into a face: style codes, fusion of features, colours, and the bands of a picture.

Provenance: ours. Style codes refined by cross-attention to references follow a reading of ENTED (Lau et al., WACV
2024). Licence of code: Apache-2.0.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from .texture import positions

STYLES = 16
BANDS = 3
TURNING = 0.3  # the share that about half is made of when it is decided
MIDDLE = (slice(None), slice(None), slice(8, 29), slice(6, 26))  # the face in a 32 px template, for its colours


class StyleCodes(nn.Module):
    """Learned queries attend to the face, then to its references and their identity."""

    def __init__(self, latent: int, identity: int, dim: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, STYLES, dim) * 0.02)
        self.place = nn.Linear(2, dim)
        self.tokens = nn.Linear(latent, dim)
        self.identity = nn.Linear(identity, dim)
        self.attend = nn.ModuleList(nn.MultiheadAttention(dim, 4, batch_first=True) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, face: Tensor, references: Tensor, identity: Tensor) -> Tensor:
        """Latents (N,L,h,w) and (N,R,L,h,w), embeddings (N,D) to codes (N,16,dim)."""
        own = self._read(face)
        other = rearrange(self._read(references.flatten(0, 1)), "(n r) l d -> n (r l) d", n=len(face))
        person = self.identity(identity * identity.shape[-1] ** 0.5)[:, None]
        x = self.queries.expand(len(face), -1, -1)
        for attend, norm, tokens in zip(self.attend, self.norms, (own, torch.cat([person, other], 1)), strict=False):
            x = x + attend(norm(x), tokens, tokens, need_weights=False)[0]
        return x + person + self.mlp(self.norms[2](x))

    def _read(self, latent: Tensor) -> Tensor:
        latent = F.avg_pool2d(latent, 2)
        place = positions(latent.shape[-1], latent).flatten(1).T
        return self.tokens(latent.flatten(2).mT) + self.place(place)


class Fusion(nn.Module):
    """x + g·conv(FiLM(conv([x, found]), style)); it starts as x."""

    def __init__(self, channels: int, found: int, hidden: int, style: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels + found, hidden, 3, padding=1)
        self.film = nn.Linear(STYLES * style, 2 * hidden)
        self.out = nn.Conv2d(hidden, channels, 3, padding=1)
        for layer in (self.film, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, found: Tensor, gate: Tensor, style: Tensor) -> Tensor:
        """Features (N,C,r,r), what was found (N,F,r,r), gate (N,1,r,r), style codes (N,16,style)."""
        scale, shift = self.film(style.flatten(1))[..., None, None].chunk(2, 1)
        return x + gate * self.out(F.relu(self.mix(torch.cat([x, found], 1)) * (1 + scale) + shift))


def match_colours(pictures: Tensor, like: Tensor) -> Tensor:
    """Give pictures (N,3,S,S) the mean and spread per channel that `like` has in the middle of the face.

    Measured on 32 px copies: what damage has done to fine detail does not count. The spread changes by 2 at most.
    """
    small, wanted = (F.adaptive_avg_pool2d(x, 32)[MIDDLE] for x in (pictures, like))
    spread = (wanted.std((2, 3), keepdim=True) / (small.std((2, 3), keepdim=True) + 1e-4)).clamp(0.5, 2)
    mean, new_mean = (x.mean((2, 3), keepdim=True) for x in (small, wanted))
    return ((pictures - mean) * spread + new_mean).clamp(0, 1)


def decided(share: Tensor) -> Tensor:
    """Shares in [0,1], nearer to all or nothing: half of one thing and half of another looks like neither.

    Their gradient is left as it was: what is shut could not learn to open otherwise.
    """
    power, turning = share.detach() ** 4, TURNING**4
    return share + (power * (1 + turning) / (power + turning) - share.detach())


def bands(picture: Tensor) -> list[Tensor]:
    """The finest bands of a Laplacian pyramid, fine to coarse: (N,C,S,S), (N,C,S/2,S/2), (N,C,S/4,S/4)."""
    result = []
    for _ in range(BANDS):
        small = F.avg_pool2d(picture, 2)
        result.append(picture - doubled(small))
        picture = small
    return result


def doubled(x: Tensor) -> Tensor:
    """(N,C,r,r) at twice the side, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def resized(x: Tensor, side: int) -> Tensor:
    """(N,C,r,r) at another side, bilinear."""
    return x if x.shape[-1] == side else F.interpolate(x, (side, side), mode="bilinear", align_corners=False)
