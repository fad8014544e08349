"""k-means: code words where latents lie."""

from __future__ import annotations

import torch
from torch import Tensor


def kmeans(points: Tensor, words: Tensor, rounds: int) -> Tensor:
    """Lloyd's algorithm.

    Args:
        points: (M,C).
        words: (K,C) to begin with.
        rounds: how often points are shared out and words moved to the mean of theirs.

    Returns:
        Words (K,C); those that nobody takes stay where they were.
    """
    for _ in range(rounds):
        codes = nearest(points, words)
        counts = torch.bincount(codes, minlength=len(words)).to(points)
        sums = torch.zeros_like(words).index_add_(0, codes, points)
        words = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), words)
    return words


def nearest(points: Tensor, words: Tensor, at_once: int = 1 << 16) -> Tensor:
    """The number of the nearest of words (K,C) for each of points (M,C): (M,) int64."""
    return torch.cat([torch.cdist(part, words).argmin(1) for part in points.split(at_once)])
