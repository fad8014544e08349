"""Attention that carries texture: from references to a face, and from a codebook to a face.

Provenance: ours. Extraction and distribution are the operators of NTED (Ren et al., "Neural Texture Extraction and
Distribution for Controllable Person Image Synthesis", CVPR 2022), on which ENTED (Lau et al., WACV 2024) builds; we add
two channels of position, without which their loss is satisfied by matching colours. Licence of code: Apache-2.0.
"""

from __future__ import annotations

import torch
from einops import einsum, rearrange
from torch import Tensor, nn
from torch.nn import functional as F


def positions(side: int, like: Tensor) -> Tensor:
    """Centres of the pixels of a picture of `side`, x then y, (2,side,side) in [-1,1], in `like`'s type and place."""
    line = (torch.arange(side, device=like.device, dtype=torch.float32) * 2 + 1) / side - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy")).to(like)


def normalise(x: Tensor) -> Tensor:
    """(x - mean over channels) / its norm, per pixel; (N,C,r,r) to the same."""
    return F.normalize(x - x.mean(1, keepdim=True), dim=1)


class Extraction(nn.Module):
    """Features of references to K textures of each person.

    A = softmax over the positions of all references of conv_k(n(F)); V = conv(F); T = A·V.
    """

    def __init__(self, channels: int, textures: int, kernel: int) -> None:
        super().__init__()
        self.filters = nn.Conv2d(channels + 2, textures, kernel, padding=kernel // 2, bias=False)
        self.values = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Extract.

        Args:
            features: (N,R,C,r,r) of R references each.
            weights: (N,R) above 0; a photograph with twice the weight counts twice.

        Returns:
            Textures (N,K,C) and the attention (N,K,R,r*r) they were taken with; it sums to 1 over the last two.
        """
        count = features.shape[1]
        flat = features.flatten(0, 1)
        place = positions(flat.shape[-1], flat).expand(len(flat), -1, -1, -1)
        logits = (
            rearrange(
                self.filters(torch.cat([normalise(flat) * flat.shape[1] ** 0.5, place], 1)),
                "(n r) k y x -> n k r (y x)",
                r=count,
            ).float()
            + weights.log()[:, None, :, None]
        )
        attention = logits.flatten(2).softmax(-1).unflatten(2, (count, -1))
        values = rearrange(self.values(flat), "(n r) c y x -> n r c (y x)", r=count)
        return einsum(attention.to(values), values, "n k r l, n r c l -> n k c"), attention


class Distribution(nn.Module):
    """Textures to every position of a face: S = softmax over textures of conv_k(Q); out = S·T."""

    def __init__(self, channels: int, textures: int, kernel: int) -> None:
        super().__init__()
        self.filters = nn.Conv2d(channels + 2, textures, kernel, padding=kernel // 2)

    def forward(self, queries: Tensor, textures: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (N,C,r,r) and textures (N,K,C) to what each position gets (N,C,r,r) and the attention (N,K,r*r)."""
        side = queries.shape[-1]
        place = positions(side, queries).expand(len(queries), -1, -1, -1)
        logits = self.filters(torch.cat([normalise(queries) * queries.shape[1] ** 0.5, place], 1))
        attention = logits.flatten(2).float().softmax(1)
        given = einsum(attention.to(textures), textures, "n k l, n k c -> n c l")
        return given.unflatten(2, (side, side)), attention


def reconstruct(colours: Tensor, extraction: Tensor, distribution: Tensor) -> Tensor:
    """References' colours sent the way their textures go (NTED's attention reconstruction).

    Args:
        colours: (N,R,3,r,r) references.
        extraction: (N,K,R,r*r) from :class:`Extraction`.
        distribution: (N,K,l) from :class:`Distribution`.

    Returns:
        (N,3,s,s) with s*s = l.
    """
    side = round(distribution.shape[-1] ** 0.5)
    palette = einsum(extraction, colours.flatten(3).float(), "n k r l, n r c l -> n k c")
    return einsum(distribution, palette, "n k l, n k c -> n c l").unflatten(2, (side, side))


class CodebookAttention(nn.Module):
    """Cross-attention from a degraded face's features to the code words: what clean faces look like there.

    softmax(Q·K^T / sqrt(d))·V with Q from the features (and from what a coarser scale found, its guide), K and V from
    the codebook.
    """

    def __init__(self, channels: int, latent: int, dim: int, guide: int = 0) -> None:
        super().__init__()
        self.queries = nn.Conv2d(channels + guide + 2, dim, 1)
        self.keys = nn.Linear(latent, dim)
        self.values = nn.Linear(latent, dim)

    def forward(self, features: Tensor, codebook: Tensor, guide: Tensor | None = None) -> Tensor:
        """Features (N,C,r,r), codebook (codes,latent) and a guide (N,G,r/2,r/2) to (N,dim,r,r)."""
        side = features.shape[-1]
        parts = [features, positions(side, features).expand(len(features), -1, -1, -1)]
        if guide is not None:
            parts.append(F.interpolate(guide, scale_factor=2.0, mode="bilinear").to(features))
        queries = rearrange(self.queries(torch.cat(parts, 1)), "n d y x -> n (y x) d")
        keys, values = (f(codebook).expand(len(features), -1, -1) for f in (self.keys, self.values))
        return rearrange(F.scaled_dot_product_attention(queries, keys, values), "n (y x) d -> n d y x", y=side)
