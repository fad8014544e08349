"""CodeFormer: blind face restoration by predicting codes of a codebook of clean faces.

Paper: Zhou, Chan, Li, Loy, "Towards Robust Blind Face Restoration with Codebook Lookup Transformer", NeurIPS 2022.
Origin: re-implemented from the paper and the published tensor names; equal to the official network
(github.com/sczhou/CodeFormer) within 1e-4 in float32. The official code and weights are under the S-Lab License 1.0
(non-commercial); no part of them is here.

Attribute names equal the checkpoint's keys, so a checkpoint loads strictly and without renaming. float16 overflows;
bfloat16 and float32 are fine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Progress = Callable[[], None]


@dataclass(frozen=True)
class CodeFormerConfig:
    """Sizes of a CodeFormer; the defaults are the published ones.

    Attributes:
        image_size: side of the faces [px].
        channels: channels at full size, a multiple of 32.
        multipliers: channels of each level in units of `channels`; each level halves the side.
        blocks: residual blocks a level.
        attention: sides of the levels with self-attention [px].
        latent: channels of the latent and of a code word.
        codes: words in the codebook.
        width: width of the transformer.
        heads: attention heads of the transformer.
        layers: layers of the transformer.
        fuse: sides at which encoder features may steer the decoder [px].
    """

    image_size: int = 512
    channels: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2, 4, 4, 8)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    latent: int = 256
    codes: int = 1024
    width: int = 512
    heads: int = 8
    layers: int = 9
    fuse: tuple[int, ...] = (32, 64, 128, 256)

    @property
    def latent_side(self) -> int:
        """Side of the latent grid."""
        return self.image_size >> (len(self.multipliers) - 1)

    def levels(self) -> Iterator[tuple[int, int]]:
        """Side and channels of each level, from full size down."""
        for level, multiplier in enumerate(self.multipliers):
            yield self.image_size >> level, self.channels * multiplier


class Block(NamedTuple):
    """A row of a table of blocks: what it is, its channels in and out, and the side at which it is tapped (0: not)."""

    kind: str
    inputs: int
    outputs: int
    tap: int = 0


def encoder_blocks(config: CodeFormerConfig) -> list[Block]:
    """The encoder as a table. The tap of a level is its last residual block."""
    rows, channels = [Block("conv", 3, config.channels)], config.channels
    for side, outputs in config.levels():
        for i in range(config.blocks):
            last = i == config.blocks - 1 and side in config.fuse
            rows.append(Block("res", channels, outputs, side if last else 0))
            channels = outputs
            rows += [Block("attention", channels, channels)] * (side in config.attention)
        rows += [Block("down", channels, channels)] * (side != config.latent_side)
    rows += _middle(channels)
    return [*rows, Block("norm", channels, channels), Block("conv", channels, config.latent)]


def decoder_blocks(config: CodeFormerConfig) -> list[Block]:
    """The decoder as a table. The tap of a level is its first residual block."""
    levels = list(config.levels())[::-1]
    channels = levels[0][1]
    rows = [Block("conv", config.latent, channels), *_middle(channels)]
    for side, outputs in levels:
        for i in range(config.blocks):
            rows.append(Block("res", channels, outputs, side if i == 0 and side in config.fuse else 0))
            channels = outputs
            rows += [Block("attention", channels, channels)] * (side in config.attention)
        rows += [Block("up", channels, channels)] * (side != config.image_size)
    return [*rows, Block("norm", channels, channels), Block("conv", channels, 3)]


def _middle(channels: int) -> list[Block]:
    return [Block(kind, channels, channels) for kind in ("res", "attention", "res")]


def config_from_state(shapes: Mapping[str, tuple[int, ...]]) -> CodeFormerConfig:
    """Read the sizes off the shapes of a checkpoint's tensors.

    The number of heads leaves no trace in them: heads are taken to be 64 wide, as published (8 of 64).

    Raises:
        KeyError: a tensor that every CodeFormer has is missing.
    """

    def kind(i: int) -> str:
        leaves = {"norm1": "res", "q": "attention", "conv": "down"}
        return next((name for leaf, name in leaves.items() if f"encoder.blocks.{i}.{leaf}.weight" in shapes), "")

    channels = shapes["encoder.blocks.0.weight"][0]
    levels: list[list[str]] = [[]]
    widths = [channels]
    index = 1
    while name := kind(index):
        if name == "down":
            levels.append([])
            widths.append(widths[-1])
        else:
            levels[-1].append(name)
        if name == "res":
            widths[-1] = shapes[f"encoder.blocks.{index}.conv2.weight"][0]
        index += 1
    levels[-1] = levels[-1][:-3]  # the middle: residual, attention, residual
    side = math.isqrt(shapes["position_emb"][0]) << (len(levels) - 1)
    codes, latent = shapes["quantize.embedding.weight"]
    width = shapes["feat_emb.weight"][0]
    return CodeFormerConfig(
        image_size=side,
        channels=channels,
        multipliers=tuple(w // channels for w in widths),
        blocks=levels[0].count("res"),
        attention=tuple(sorted(side >> i for i, names in enumerate(levels) if "attention" in names)),
        latent=latent,
        codes=codes,
        width=width,
        heads=max(1, width // 64),
        layers=len({key.split(".")[1] for key in shapes if key.startswith("ft_layers.")}),
        fuse=tuple(sorted({int(key.split(".")[1]) for key in shapes if key.startswith("fuse_convs_dict.")})),
    )


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResBlock(nn.Module):
    """Two normalised 3x3 convolutions beside a skip."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = _norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = _norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_out = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N,inputs,r,r) → (N,outputs,r,r)."""
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        h = self.conv2(F.silu(self.norm2(h), inplace=True))
        return h.add_(self.conv_out(x))


class AttnBlock(nn.Module):
    """Self-attention over positions, one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,r,r) → (N,C,r,r)."""
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).mT.unsqueeze(1) for f in (self.q, self.k, self.v))  # (N,1,r*r,C)
        out = F.scaled_dot_product_attention(q, k, v).squeeze(1).mT.reshape(x.shape)
        return x + self.proj_out(out)


class Resample(nn.Module):
    """Double the side, or halve it: then padded on the right and at the bottom only."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(channels, channels, 3, padding=1) if up else nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,r,r) → (N,C,2r,2r) or (N,C,r/2,r/2)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else F.pad(x, (0, 1, 0, 1)))


class Blocks(nn.Module):
    """The blocks of one table, in order."""

    def __init__(self, rows: list[Block]) -> None:
        super().__init__()
        make: dict[str, Callable[[Block], nn.Module]] = {
            "conv": lambda row: nn.Conv2d(row.inputs, row.outputs, 3, padding=1),
            "norm": lambda row: _norm(row.inputs),
            "res": lambda row: ResBlock(row.inputs, row.outputs),
            "attention": lambda row: AttnBlock(row.inputs),
            "down": lambda row: Resample(row.inputs, up=False),
            "up": lambda row: Resample(row.inputs, up=True),
        }
        self.rows = rows
        self.blocks = nn.ModuleList(make[row.kind](row) for row in rows)

    def steps(self) -> Iterator[tuple[nn.Module, int]]:
        """Each block and the side at which it is tapped (0: it is not)."""
        for block, row in zip(self.blocks, self.rows, strict=True):
            yield block, row.tap


class SelfAttention(nn.Module):
    """Multi-head attention with `torch.nn.MultiheadAttention`'s tensor names."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) / math.sqrt(width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """(N,L,width) and (L,width) → (N,L,width). The position is added to queries and keys only."""
        wq, wk, wv = self.in_proj_weight.chunk(3)
        bq, bk, bv = self.in_proj_bias.chunk(3)
        placed = x + position
        q, k, v = (
            F.linear(inputs, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N,heads,L,width/heads)
            for inputs, weight, bias in ((placed, wq, bq), (placed, wk, bk), (x, wv, bv))
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class TransformerLayer(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.linear1 = nn.Linear(width, 2 * width)
        self.linear2 = nn.Linear(2 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """(N,L,width) → (N,L,width)."""
        x = x + self.self_attn(self.norm1(x), position)
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


class ControllableFeatureTransformation(nn.Module):
    """Controllable feature transformation (paper, section 3.3): encoder features scale and shift the decoder's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encode_enc = ResBlock(2 * channels, channels)
        self.scale, self.shift = (
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            for _ in range(2)
        )

    def forward(self, encoded: Tensor, decoded: Tensor, weight: float, progress: Progress | None) -> Tensor:
        """Both (N,C,r,r) → (N,C,r,r). At 256 px this is the slowest step of all, so it has a pause in its middle."""
        e = self.encode_enc(torch.cat([encoded, decoded], 1))
        if progress:
            progress()
        return decoded + weight * (decoded * self.scale(e) + self.shift(e))


class Codebook(nn.Module):
    """Holds the code words under the checkpoint's name."""

    def __init__(self, codes: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, channels)


class CodeFormer(nn.Module):
    """Encode, predict codes, decode: three steps, so that others can be put between them.

    Steps take float32 or the network's own dtype; `progress`, where given, is called after every block, and what it
    raises ends the step.
    """

    default_content = 0.5
    lookup = "nearest"
    adain = True
    transfer = None
    prior = None

    def __init__(self, config: CodeFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.position_emb = nn.Parameter(torch.zeros(config.latent_side**2, config.width))
        self.encoder = Blocks(encoder_blocks(config))
        self.quantize = Codebook(config.codes, config.latent)
        self.generator = Blocks(decoder_blocks(config))
        self.feat_emb = nn.Linear(config.latent, config.width)
        self.ft_layers = nn.ModuleList(TransformerLayer(config.width, config.heads) for _ in range(config.layers))
        self.idx_pred_layer = nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, config.codes, bias=False)
        )
        self.fuse_convs_dict = nn.ModuleDict(
            {
                str(side): ControllableFeatureTransformation(channels)
                for side, channels in config.levels()
                if side in config.fuse
            }
        )

    def encode(self, faces: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[int, Tensor]]:
        """Faces (N,3,S,S) in [0,1] → content (N,latent,h,w), and encoder features {side: (N,C,side,side)}."""
        x = (faces * 2 - 1).to(self.position_emb)
        skips = {}
        for block, tap in self.encoder.steps():
            x = block(x)
            if tap:
                skips[tap] = x
            if progress:
                progress()
        return x, skips

    def predict(self, content: Tensor, progress: Progress | None = None) -> Tensor:
        """Content (N,latent,h,w) → logits (N,h*w,codes), positions row by row."""
        x = self.feat_emb(content.to(self.position_emb).flatten(2).mT)
        for layer in self.ft_layers:
            x = layer(x, self.position_emb)
            if progress:
                progress()
        return self.idx_pred_layer(x)

    def codebook(self) -> Tensor:
        """The code words, (codes, latent)."""
        return self.quantize.embedding.weight

    def decode(
        self,
        content: Tensor,
        code_latent: Tensor,
        skips: Mapping[int, Tensor],
        content_weight: float,
        quality_weight: float = 1.0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Draw faces from looked-up codes.

        Args:
            content: (N,latent,h,w); not read: CodeFormer draws from the codes and the skips only.
            code_latent: (N,latent,h,w), the looked-up codes.
            skips: {side: (N,C,side,side)} from :meth:`encode`; not read where the content weight is 0.
            content_weight: w of the paper, 0 (codebook only) to 1 (closest to the input).
            quality_weight: 1; CodeFormer has no other.
            progress: called after every block.

        Returns:
            (N,3,S,S) float32, nominally in [0,1], not clamped.

        Raises:
            ValueError: a quality weight other than 1.
        """
        if quality_weight != 1:
            raise ValueError(
                f"CodeFormer got a quality weight of {quality_weight:g}; it has 1 only, because its decoder never "
                "learned to draw degraded texture. Set quality to 1, or use the built-in restorer."
            )
        x = code_latent.to(self.position_emb)
        for block, tap in self.generator.steps():
            x = block(x)
            if progress:
                progress()
            if tap and content_weight:
                x = self.fuse_convs_dict[str(tap)](skips[tap].to(x), x, content_weight, progress)
                if progress:
                    progress()
        return (x.float() + 1) / 2
