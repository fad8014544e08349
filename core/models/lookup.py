"""Taking code words from a codebook: nearest, or a mixture of the likeliest; and their colour statistics (AdaIN)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..records import Lookup


def look_up(logits: Tensor, codebook: Tensor, lookup: Lookup, side: int) -> tuple[Tensor, Tensor]:
    """The code words that `logits` ask for.

    "Nearest" is the likeliest code, which is top-k with k = 1. Otherwise the k likeliest are averaged with the weights
    softmax(logits / temperature) over these k; a low temperature therefore tends to the nearest. "Mean" averages all.
    "Auto" is the nearest here: restorers say what else they would have.

    Args:
        logits: (N, side*w, K), positions row by row.
        codebook: (K, C).
        lookup: mode, k and temperature.
        side: rows h of the latent grid.

    Returns:
        Codes (N,C,h,w) and the likeliest code's probability (N,1,h,w) in [0,1], both float32.

    Raises:
        ValueError: k is larger than the codebook.
    """
    k = {"top-k": lookup.k, "mean": len(codebook)}.get(lookup.mode, 1)
    if k > len(codebook):
        raise ValueError(
            f"Lookup got k={k}, but the codebook has {len(codebook)} words; set k to {len(codebook)} or less."
        )
    logits = logits.float()
    best = logits.amax(-1, keepdim=True)
    if k == len(codebook):
        mixed = (((logits - best) / lookup.temperature).softmax(-1) @ codebook.float()).mT
    else:
        top, codes = logits.topk(k, dim=-1)
        weights = ((top - best) / lookup.temperature).softmax(-1)
        mixed = torch.einsum("nlk,nlkc->ncl", weights, codebook.float()[codes])
    confidence = (best - logits.logsumexp(-1, keepdim=True)).exp().mT
    return mixed.unflatten(2, (side, -1)), confidence.unflatten(2, (side, -1))


def adain(codes: Tensor, content: Tensor) -> Tensor:
    """Give `codes` the mean and spread per channel of `content`; both (N,C,h,w), result float32.

    Source: Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017,
    eq. 8.
    """

    def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean((2, 3), keepdim=True)
        variance = (x - mean).square().sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
        # The constant keeps a flat channel from dividing by zero, and is CodeFormer's, as is the variance of a sample.
        return mean, (variance + 1e-5).sqrt()

    codes, content = codes.float(), content.float()
    (mean, spread), (new_mean, new_spread) = statistics(codes), statistics(content)
    return (codes - mean) / spread * new_spread + new_mean
