"""Blocks of a style-based generator: features are scaled channel by channel, as a style asks, before each convolution.

Provenance: Belousov, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis",
arXiv 2104.04767, written anew after its OpenVINO graph (see :mod:`..training.generator`), whose convolutions have their
demodulation folded in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2


def synthesize_wavelet(x: Tensor) -> Tensor:
    """Inverse Haar transform, (N,4C,h,w) to (N,C,2h,2w).

    The first C channels are the low band, the others (C,3) the details: vertical, horizontal, diagonal.
    """
    count = x.shape[1] // 4
    low = x[:, :count]
    vertical, horizontal, diagonal = x[:, count:].unflatten(1, (count, 3)).unbind(2)
    top, bottom = low + vertical, low - vertical
    left, right = horizontal + diagonal, horizontal - diagonal
    return F.pixel_shuffle(
        torch.stack([top + left, top - left, bottom + right, bottom - right], 2).flatten(1, 2) / 2, 2
    )


class Modulation(nn.Module):
    """x · s(w): a factor for each channel, linear in the style."""

    def __init__(self, latent: int, channels: int) -> None:
        super().__init__()
        self.factor = nn.Linear(latent, channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Scale (N,C,h,w) by what (N,L) asks for."""
        return x * self.factor(w)[..., None, None]


class StyledConvolution(nn.Module):
    """Modulation, convolution (3x3, or depthwise 3x3 and pointwise), fixed noise, leaky ReLU."""

    noise: Tensor

    def __init__(self, latent: int, inputs: int, outputs: int, side: int, separable: bool = True) -> None:
        super().__init__()
        self.modulation = Modulation(latent, inputs)
        self.depthwise: nn.Module = nn.Identity()
        if separable:
            self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.conv = nn.Conv2d(inputs, outputs, 1) if separable else nn.Conv2d(inputs, outputs, 3, padding=1)
        self.register_buffer("noise", torch.zeros(1, 1, side, side))

    def forward(self, x: Tensor, w: Tensor, place: tuple[int, int] = (0, 0)) -> Tensor:
        """(N,C,h,w) and a style (N,L) to (N,C',h,w); `place` is the row and column where a part of a face begins."""
        (row, column), (height, width) = place, x.shape[2:]
        noise = self.noise[..., row : row + height, column : column + width]
        return F.leaky_relu(self.conv(self.depthwise(self.modulation(x, w))) + noise, SLOPE)


class Layer(nn.Module):
    """Doubles the side: modulated inverse wavelet transform, then two styled convolutions."""

    def __init__(self, latent: int, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.up = Modulation(latent, inputs)
        self.conv1 = StyledConvolution(latent, inputs // 4, outputs, side)
        self.conv2 = StyledConvolution(latent, outputs, outputs, side)

    def forward(self, x: Tensor, up: Tensor, first: Tensor, second: Tensor, place: tuple[int, int] = (0, 0)) -> Tensor:
        """(N,C,h,w) and three styles (N,L) to (N,C',2h,2w); `place` is where a part of a face begins in the result."""
        return self.conv2(self.conv1(synthesize_wavelet(self.up(x, up)), first, place), second, place)
