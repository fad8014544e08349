"""The shipped restorer: a compact codebook network for 512 px faces.

Provenance: ours, written and trained for this project. The idea of predicting code words from a degraded face with a
transformer, and of mixing encoder features back in by a controllable feature transformation, is CodeFormer's (Zhou et
al., NeurIPS 2022); replacing corrupted latents by code words through a gate follows a reading of ENTED (Lau et al.,
WACV 2024). Licence of code: Apache-2.0. Licence of weights: see MODEL_CARD.md.

Two weights set the mix, both 0 to 1, c (content) and q (quality):

- z = q·g·h_q + (1 - q·g)·h, where h is the encoded latent, h_q the looked-up one and g the learned gate,
  which is 1 at c = 0;
- encoder features reach the decoder scaled by c;
- out = y + c·m'·(x - y), where y is decoded from z, x is the input, m the learned mask and m' = 1 - q·(1 - m).

So at c = 0 the output depends on the codes alone, and at c = 1, q = 0 it is the input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

Progress = Callable[[], None]


class Guide(Protocol):
    """What references give while a face is drawn (see :mod:`.transfer`)."""

    def fuse(self, level: int, x: Tensor) -> Tensor:
        """The decoder's features at 1/16, 1/8 or 1/4 (level 0, 1, 2) with what was found there."""
        ...

    def stand_in(self, content: Tensor, skips: Mapping[int, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """The face's latent and skips with what was found in their place."""
        ...

    def blend(self, y: Tensor, x: Tensor) -> Tensor:
        """The picture y in [0,1], drawn from the finest features x, with the references' own texture."""
        ...


@dataclass(frozen=True)
class RestorerConfig:
    """Sizes of a :class:`ResemblanceNet`.

    Attributes:
        widths: channels at 128, 64 and 32 px.
        encoder_blocks: ResBlocks of the encoder at 32 px; it has one at 128 and one at 64.
        decoder_blocks: ResBlocks of the decoder at 32, 64 and 128 px.
        latent: channels of the latent and of the code words.
        codes: number of code words.
        dim, layers, heads: of the transformer that predicts codes from 2x2 patches of the latent.
        size: side of the faces [px].
        noise_injection: whether the decoder has noise to draw texture from.
    """

    widths: tuple[int, int, int] = (32, 64, 128)
    encoder_blocks: int = 4
    decoder_blocks: tuple[int, int, int] = (4, 3, 2)
    latent: int = 128
    codes: int = 1024
    dim: int = 256
    layers: int = 6
    heads: int = 8
    size: int = 512
    noise_injection: bool = True

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> RestorerConfig:
        """Read the sizes off a checkpoint's tensor shapes. Heads cannot be: they have 32 channels each."""

        def count(prefix: str) -> int:
            return len({m[1] for key in state if (m := re.match(rf"{re.escape(prefix)}\.(\d+)\.", key))})

        decoder_blocks = count("decoder.levels.0"), count("decoder.levels.1"), count("decoder.levels.2")
        dim = state["transformer.proj_in.weight"].shape[0]
        fine, middle, coarse = (state[f"encoder.level{i}.0.conv1.weight"].shape[0] for i in range(3))
        codes, latent = state["embedding"].shape
        size = 32 * state["transformer.position"].shape[1]
        return cls(
            widths=(fine, middle, coarse),
            encoder_blocks=count("encoder.level2"),
            decoder_blocks=decoder_blocks,
            latent=latent,
            codes=codes,
            dim=dim,
            layers=count("transformer.layers"),
            heads=dim // 32,
            size=size,
            noise_injection="decoder.grains.0.strength" in state,
        )


class ResBlock(nn.Module):
    """Two 3x3 convolutions on a residual branch that starts at zero; no normalisation, which colour would pay for."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,h,w) to the same."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Encoder(nn.Module):
    """Face (N,3,H,W) in [-1,1] to latent (N,latent,H/16,W/16) and features at 1/4, 1/8 and 1/16."""

    def __init__(self, config: RestorerConfig) -> None:
        super().__init__()
        w0, w1, w2 = config.widths
        self.stem = nn.Conv2d(48, w0, 3, padding=1)
        self.level0 = nn.Sequential(ResBlock(w0))
        self.down0 = nn.Conv2d(w0, w1, 4, stride=2, padding=1)
        self.level1 = nn.Sequential(ResBlock(w1))
        self.down1 = nn.Conv2d(w1, w2, 4, stride=2, padding=1)
        self.level2 = nn.Sequential(*(ResBlock(w2) for _ in range(config.encoder_blocks)))
        self.out = nn.Conv2d(w2, config.latent, 3, padding=1)

    def forward(self, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, list[Tensor]]:
        """Returns the latent and the features, fine to coarse."""
        features = []
        x = self.stem(rearrange(x, "n c (y a) (x b) -> n (c a b) y x", a=4, b=4))
        for level, down in ((self.level0, self.down0), (self.level1, self.down1), (self.level2, self.out)):
            features.append(level(x))
            # The latent is made after an activation; features that go down a level are not activated.
            x = down(F.relu(features[-1]) if down is self.out else features[-1])
            if progress:
                progress()
        return x, features


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and a two-layer perceptron."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(N,L,dim) to the same."""
        q, k, v = rearrange(self.qkv(self.norm1(x)), "n l (t h d) -> t n h l d", t=3, h=self.heads)
        x = x + self.proj(rearrange(F.scaled_dot_product_attention(q, k, v), "n h l d -> n l (h d)"))
        return x + self.mlp(self.norm2(x))


class CodeTransformer(nn.Module):
    """Latent (N,C,h,w) to logits (N,h*w,codes): attends between 2x2 patches, predicts the four codes of each."""

    def __init__(self, config: RestorerConfig) -> None:
        super().__init__()
        side = config.size // 32
        self.proj_in = nn.Linear(4 * config.latent, config.dim)
        self.position = nn.Parameter(torch.randn(1, side, side, config.dim) * 0.02)
        self.layers = nn.ModuleList(TransformerLayer(config.dim, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.proj_out = nn.Linear(config.dim, 4 * config.latent)
        self.mix = nn.Linear(config.latent, config.latent)
        self.head = nn.Linear(config.latent, config.codes)

    def forward(self, h: Tensor, origin: tuple[int, int] = (0, 0), progress: Progress | None = None) -> Tensor:
        """Logits of `h`; `origin` is the patch row and column where a part of a face begins."""
        rows, cols = h.shape[-2] // 2, h.shape[-1] // 2
        r, c = origin
        x = self.proj_in(rearrange(h, "n c (y a) (x b) -> n y x (a b c)", a=2, b=2))
        x = (x + self.position[:, r : r + rows, c : c + cols]).flatten(1, 2)
        for layer in self.layers:
            x = layer(x)
            if progress:
                progress()
        x = self.proj_out(self.norm(x))
        x = rearrange(x, "n (y x) (a b c) -> n (y a x b) c", y=rows, a=2, b=2)
        # A patch covers four places; the latent at each of them tells them apart.
        return self.head(F.gelu(x + self.mix(h.flatten(2).mT)))


class ControllableFeatureTransformation(nn.Module):
    """Controllable feature transformation (CodeFormer, section 3.3): encoder features scale and shift the decoder's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.scale_shift = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        for parameter in self.scale_shift.parameters():
            nn.init.zeros_(parameter)

    def forward(self, decoded: Tensor, encoded: Tensor, w: float) -> Tensor:
        """All (N,C,r,r); w 0 returns `decoded`."""
        if w == 0:
            return decoded
        scale, shift = self.scale_shift(F.relu(self.mix(torch.cat([encoded, decoded], 1)))).chunk(2, 1)
        return decoded + w * (decoded * scale + shift)


class NoiseInjection(nn.Module):
    """Noise, of a strength learned for each channel.

    Where damage leaves the codes flat, convolutions alone can draw nothing but the same texture in every cell of the
    latent's grid; with noise to draw it from they need not (the idea is StyleGAN's: Karras et al., CVPR 2019). In
    training each face has noise of its own, else all have the same, so that a face depends on its tokens alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(0.02 * torch.randn(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,h,w) to the same."""
        if self.training:
            noise = torch.randn_like(x[:, :1])
        else:
            noise = torch.randn(x.shape[2:], generator=torch.Generator().manual_seed(0)).to(x)
        return x + self.strength * noise


class Decoder(nn.Module):
    """Latent to face (N,3,H,W) in [-1,1] and mask logits (N,1,H,W)."""

    def __init__(self, config: RestorerConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.widths
        self.stem = nn.Conv2d(config.latent, coarse, 3, padding=1)
        widths = (coarse, middle, fine)
        self.levels = nn.ModuleList(
            nn.ModuleList(ResBlock(w) for _ in range(blocks))
            for w, blocks in zip(widths, config.decoder_blocks, strict=True)
        )
        self.transforms = nn.ModuleList(ControllableFeatureTransformation(w) for w in widths)
        self.ups = nn.ModuleList(
            [nn.Conv2d(coarse, 4 * middle, 3, padding=1), nn.Conv2d(middle, 4 * fine, 3, padding=1)]
        )
        self.grains = nn.ModuleList(
            NoiseInjection(w) if config.noise_injection else nn.Identity() for w in (*widths, 16)
        )
        # Two steps of pixel shuffle with a convolution between: one step of four invites a texture of its grid.
        self.tail1 = nn.Conv2d(fine, 64, 3, padding=1)
        self.tail2 = nn.Conv2d(16, 16, 3, padding=1)

    def forward(
        self,
        z: Tensor,
        skips: list[Tensor],
        w: float,
        guide: Guide | None = None,
        progress: Progress | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw; `skips` are the encoder's features, fine to coarse, weighted by `w`; unused where w is 0.

        Returns:
            The face, the mask's logits, and the features at 1/4 that they were drawn from.
        """
        x = self.stem(z)
        for i, (level, transform) in enumerate(zip(self.levels, self.transforms, strict=True)):
            before, *after = level.children()
            x = before(x)
            if w != 0:
                x = transform(x, skips[-1 - i].to(x.dtype), w)
            if guide:
                x = guide.fuse(i, x)
            x = self.grains[i](x)
            for block in after:
                x = block(x)
            if i < len(self.ups):
                x = F.pixel_shuffle(self.ups[i](F.relu(x)), 2)
            if progress:
                progress()
        y = F.pixel_shuffle(self.tail1(F.relu(x)), 2)
        y = F.pixel_shuffle(self.tail2(F.relu(self.grains[-1](y))), 2)
        return y[:, :3], y[:, 3:], x


class ResemblanceNet(nn.Module):
    """Encoder, code transformer, codebook, gate and decoder (see the head of this file)."""

    default_content = 1.0
    lookup = "nearest"
    adain = False

    def __init__(self, config: RestorerConfig | None = None) -> None:
        super().__init__()
        self.config = config or RestorerConfig()
        self.encoder = Encoder(self.config)
        self.embedding = nn.Parameter(torch.randn(self.config.codes, self.config.latent))
        self.transformer = CodeTransformer(self.config)
        self.gate = nn.Sequential(nn.Conv2d(2 * self.config.latent, 64, 1), nn.ReLU(), nn.Conv2d(64, 1, 3, padding=1))
        self.decoder = Decoder(self.config)
        self.transfer: nn.Module | None = None  # a :class:`.transfer.TransferNet`, where its weights are at hand
        self.prior: nn.Module | None = None  # a :class:`.prior.Prior`, likewise

    def codebook(self) -> Tensor:
        """The code words (codes, latent)."""
        return self.embedding

    def encode(self, faces: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[int, Tensor]]:
        """Faces (N,3,S,S) in [0,1] to content (N,latent,S/16,S/16) and skips {side: features}, the faces among them."""
        content, features = self.encoder((faces * 2 - 1).to(self.encoder.stem.weight.dtype), progress)
        if progress:
            progress()
        return content, {faces.shape[-1]: faces} | {f.shape[-1]: f for f in features}

    def predict(self, content: Tensor, origin: tuple[int, int] = (0, 0), progress: Progress | None = None) -> Tensor:
        """Logits (N,h*w,codes) of the code words, positions row by row."""
        return self.transformer(content, origin, progress)

    def gate_logits(self, content: Tensor, code_latent: Tensor) -> Tensor:
        """How far code words should replace the latent, (N,1,h,w), before the sigmoid."""
        return self.gate(torch.cat([content, code_latent], 1))

    def decode(
        self,
        content: Tensor,
        code_latent: Tensor,
        skips: Mapping[int, Tensor],
        content_weight: float = 1.0,
        quality_weight: float = 1.0,
        progress: Progress | None = None,
        guide: Guide | None = None,
    ) -> Tensor:
        """Tokens to faces (N,3,S,S), about [0,1], float32; the weights as in the head of this file."""
        if content_weight == 0:
            z = torch.lerp(content, code_latent, quality_weight) if quality_weight < 1 else code_latent
        else:
            g = torch.sigmoid(self.gate_logits(content, code_latent))
            # At content 0 the gate must be 1; between, it moves there evenly.
            z = content + quality_weight * (1 - content_weight * (1 - g)) * (code_latent - content)
        sides = sorted(skips, reverse=True)
        y, m, x = self.decoder(z, [skips[side] for side in sides[1:]], content_weight, guide, progress)
        y = (y.float() + 1) / 2
        if guide:
            y = guide.blend(y, x)
        if content_weight == 0:
            return y
        keep = 1 - quality_weight * (1 - torch.sigmoid(m.float()))
        return y + content_weight * keep * (skips[sides[0]].float() - y)
