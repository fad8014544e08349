"""MobileStyleGAN, the generator of training faces, in PyTorch: for batches and for GPUs.

Provenance: Belousov, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis",
arXiv 2104.04767, as the package random-face carries it (OpenVINO IR, Apache-2.0; the weights descend from
StyleGAN2-FFHQ, non-commercial). Rebuilt from the IR, to which it is equal; :mod:`.faces` runs the IR itself. Each
convolution's demodulation was folded into its weights before they were published, so all that depends on a face is a
factor for each input channel, and a batch shares the weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.styled import SLOPE, Layer, Modulation, StyledConvolution, synthesize_wavelet
from .assets import asset
from .faces import LATENT, draw_person, mean_latents

START = 4  # px, side of the learned input


@dataclass(frozen=True)
class GeneratorConfig:
    """Shape of the network: numbers in a latent, layers of the mapping, channels of the input and of each layer."""

    latent: int = LATENT
    mapping: int = 8
    channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64)

    @property
    def side(self) -> int:
        """Side of the picture in px."""
        return START << len(self.channels)


class Mapping(nn.Module):
    """Latents z to styles w, both (N,L)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(config.latent, config.latent) for _ in range(config.mapping))

    def forward(self, z: Tensor) -> Tensor:
        """Map."""
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            w = F.leaky_relu(layer(w), SLOPE)
        return w


class Synthesis(nn.Module):
    """Styles to faces. It computes in the type of its weights.

    Args:
        config: shape of the network.
        size: side of the faces in px: the picture's, or less by a power of two, to which it is averaged down.
    """

    input: Tensor

    def __init__(self, config: GeneratorConfig, size: int) -> None:
        super().__init__()
        self.config, self.shrink = config, config.side // size
        latent, channels = config.latent, config.channels
        self.register_buffer("input", torch.zeros(1, channels[0], START, START))
        self.conv1 = StyledConvolution(latent, channels[0], channels[0], START, separable=False)
        self.layers = nn.ModuleList(
            Layer(latent, channels[i], channels[i + 1], START << (i + 1)) for i in range(len(channels) - 1)
        )
        self.to_img = Modulation(latent, channels[-1])
        self.img = nn.Conv2d(channels[-1], 12, 1)

    def forward(self, styles: Tensor) -> Tensor:
        """(N,S,L) to (N,3,size,size) float32."""
        w = styles.to(self.input.dtype).unbind(1)
        x = self._through(self.conv1(self.input, w[0]), w, 0, len(self.layers))
        bands = self.img(self.to_img(x, w[-1])).float()
        if self.shrink == 1:
            return synthesize_wavelet(bands)
        return F.avg_pool2d(bands[:, :3] / 2, self.shrink // 2)  # half its low band is the mean of four pixels

    def features(self, styles: Tensor, side: int) -> Tensor:
        """What a style (N,S,L) becomes up to the layer of `side` px: (N,C,side,side)."""
        w = styles.to(self.input.dtype).unbind(1)
        return self._through(self.conv1(self.input, w[0]), w, 0, self._layers_to(side))

    def finish(self, features: Tensor, styles: Tensor) -> Tensor:
        """Draw from features (N,C,s,s) of the layer of s px: (N,3,S,S) float32, S half the picture's side."""
        w = styles.to(self.input.dtype).unbind(1)
        x = self._through(features.to(self.input.dtype), w, self._layers_to(features.shape[-1]), len(self.layers))
        return self.img(self.to_img(x, w[-1]))[:, :3].float() / 2

    def _layers_to(self, side: int) -> int:
        return (side // START).bit_length() - 1

    def _through(self, x: Tensor, w: tuple[Tensor, ...], begin: int, end: int) -> Tensor:
        for i in range(begin, end):
            x = self.layers[i](x, *w[3 * i + 1 : 3 * i + 4])
        return x


class Generator(nn.Module):
    """Latents to styles to faces.

    Args:
        config: shape of the network.
        size: side of the faces in px: the picture's, or less by a power of two, to which it is averaged down.

    Attributes:
        mean: (1,L) style of no one, towards which people's styles are drawn in.
    """

    mean: Tensor

    def __init__(self, config: GeneratorConfig = GeneratorConfig(), size: int = 512) -> None:
        super().__init__()
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config, size)
        self.register_buffer("mean", torch.zeros(1, config.latent))

    def forward(self, styles: Tensor) -> Tensor:
        """Draw.

        Args:
            styles: (N,S,L), one for each modulation in the network's order: the first convolution's; each layer's
                wavelet, first and second convolution; the picture's.

        Returns:
            (N,3,size,size) float32 RGB, about [-1,1] and not clipped to it.
        """
        return self.synthesis(styles)

    def people(self, numbers: Iterable[int]) -> Tensor:
        """Styles (N,L) of people by their numbers, the same people as :meth:`.faces.FaceGenerator.person` gives."""
        latents, amounts = zip(*map(draw_person, numbers), strict=True)
        z = torch.from_numpy(np.concatenate(latents)).to(self.mean.device)
        psi = torch.tensor(amounts, dtype=torch.float32, device=self.mean.device)[:, None]
        return self.mean + psi * (self.mapping(z) - self.mean)


@torch.no_grad()
def load_generator(
    assets: str | Path | None = None,
    size: int = 512,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Generator:
    """The published generator, ready to draw.

    Args:
        assets: folder of the asset packages, see :mod:`.assets`.
        size: side of the faces in px, 1024 or less by a power of two.
        device: where it runs.
        dtype: of the synthesis; bfloat16 changes a face by about a level of 255 (root mean square). Latents are always
            mapped in float32.

    Raises:
        FileNotFoundError: the package that carries it is not there.
    """
    generator = Generator(size=size).requires_grad_(False)
    mapping, synthesis = (_read_constants(asset(f"generator_{part}", assets)) for part in ("mapping", "synthesis"))
    generator.mapping.load_state_dict(_mapping_state(mapping))
    generator.synthesis.load_state_dict(_synthesis_state(synthesis))
    generator.mean.copy_(generator.mapping(torch.from_numpy(mean_latents())).mean(0, keepdim=True))
    generator.synthesis.to(dtype)
    return generator.to(device)


def _read_constants(path: Path) -> dict[str, Tensor]:
    """The float32 constants of an OpenVINO IR by their names."""
    data = path.with_suffix(".bin").read_bytes()
    constants = {}
    for layer in ElementTree.parse(path).iter("layer"):  # noqa: S314 (a file of a package that was installed on purpose)
        about = layer.find("data")
        if layer.get("type") == "Const" and about is not None and about.get("element_type") == "f32":
            shape = [int(n) for n in str(about.get("shape")).split(",") if n]
            values = np.frombuffer(data, np.float32, int(np.prod(shape)), int(str(about.get("offset"))))
            constants[str(layer.get("name"))] = torch.from_numpy(values.reshape(shape).copy())
    return constants


def _numbered(constants: dict[str, Tensor], pattern: str, dimensions: int) -> list[Tensor]:
    """Constants that bear a number in place of a name, in the order of the numbers, which is the network's."""
    found = {name: re.fullmatch(pattern, name) for name, value in constants.items() if value.ndim == dimensions}
    return [constants[name] for _, name in sorted((int(m[1]), name) for name, m in found.items() if m)]


def _mapping_state(constants: dict[str, Tensor]) -> dict[str, Tensor]:
    """The IR's names as :class:`Mapping`'s; the factor sqrt(2) behind each leaky ReLU is taken into its layer."""
    weights, biases = (_numbered(constants, r"(\d+)", dimensions) for dimensions in (2, 1))
    return {
        f"layers.{i}.{kind}": value * 2**0.5
        for kind, values in (("weight", [w for w in weights if w.numel() > 1]), ("bias", biases))
        for i, value in enumerate(values)
    }


def _synthesis_state(constants: dict[str, Tensor]) -> dict[str, Tensor]:
    """The IR's names as :class:`Synthesis`'s; a modulation takes in 1/sqrt(what its convolution sums over)."""
    named = {name.removeprefix("m."): value for name, value in constants.items() if name.startswith("m.")}
    state = {"input": named["input.input"]}
    weights, noises = _numbered(constants, r"Mul_(\d+)_copy", 4), _numbered(constants, r"(\d+)", 4)
    convolutions = ["conv1", *(f"layers.{i}.conv{j}" for i in range((len(noises) - 1) // 2) for j in (1, 2))]
    for name, weight, noise in zip(convolutions, weights, noises, strict=True):
        state |= {f"{name}.conv.weight": weight, f"{name}.conv.bias": named[f"{name}.bias"].flatten()}
        state[f"{name}.noise"] = noise
        if f"{name}.conv.weight_dw" in named:
            state[f"{name}.depthwise.weight"] = named[f"{name}.conv.weight_dw"].flatten(1, 2)  # (C,1,1,3,3)
        state |= _modulation(named, f"{name}.conv", f"{name}.modulation", 9)
        if name.endswith(".conv1"):  # the wavelet before it
            up = name.removesuffix("conv1") + "up"
            state |= _modulation(named, up, up)
    picture = next(name for name in named if name.endswith("to_img.bias")).removesuffix(".bias")
    state |= {"img.weight": named[f"{picture}.conv.weight"], "img.bias": named[f"{picture}.bias"].flatten()}
    return state | _modulation(named, f"{picture}.conv", "to_img", 1)


def _modulation(named: dict[str, Tensor], old: str, new: str, taps: int | None = None) -> dict[str, Tensor]:
    """One modulation's tensors; `taps` of the convolution behind it, None where a wavelet follows."""
    weight, bias = named[f"{old}.modulation.weight"], named[f"{old}.modulation.bias"].flatten()
    scale = 1.0 if taps is None else (len(weight) * taps) ** -0.5
    return {f"{new}.factor.weight": weight * scale, f"{new}.factor.bias": bias * scale}
