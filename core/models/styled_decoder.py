"""The second restorer's decoder: a latent at 32 px and a style to a face of 512 px.

Provenance: ours, around the layers of a published generator from 32 px on (see :mod:`.styled`), trained on with it. The
encoder's features come in by controllable feature transformation (Zhou et al., NeurIPS 2022, section 3.3) through
narrow convolutions. Licence of code: Apache-2.0. Licence of weights: see MODEL_CARD.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .restorer import Progress
from .styled import Layer, Modulation


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of a :class:`StyledDecoder`.

    Attributes:
        latent: channels of the latent.
        side: of the latent.
        style: numbers in a style.
        channels: at the latent's side and of each layer, each of which doubles the side.
        encoded: channels of the encoder's features at one, two and four times the latent's side.
        narrow: channels between them and the decoder's, likewise.
    """

    latent: int = 128
    side: int = 32
    style: int = 512
    channels: tuple[int, ...] = (512, 512, 256, 128, 64)
    encoded: tuple[int, int, int] = (128, 64, 32)
    narrow: tuple[int, int, int] = (96, 64, 32)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> DecoderConfig:
        """Read the sizes off a checkpoint's tensor shapes."""
        first, latent = state["decoder.stem.weight"].shape[:2]
        count = len({key.split(".")[2] for key in state if key.startswith("decoder.layers.")})
        transforms = [f"decoder.transforms.{i}" for i in range(3)]
        return cls(
            latent=latent,
            side=state["place"].shape[-1],
            style=state["decoder.to_img.factor.weight"].shape[1],
            channels=(first, *(state[f"decoder.layers.{i}.conv2.conv.weight"].shape[0] for i in range(count))),
            encoded=tuple(state[f"{name}.encoded.weight"].shape[1] for name in transforms),  # type: ignore[arg-type]
            narrow=tuple(state[f"{name}.decoded.weight"].shape[0] for name in transforms),  # type: ignore[arg-type]
        )

    @property
    def modulations(self) -> int:
        """Styles that are read: three a layer, and the picture's."""
        return 3 * (len(self.channels) - 1) + 1


class NarrowTransform(nn.Module):
    """Decoder features scaled and shifted, by what they and the encoder's say in few channels; it starts as nothing."""

    def __init__(self, channels: int, encoded: int, narrow: int) -> None:
        super().__init__()
        self.decoded = nn.Conv2d(channels, narrow, 1)
        self.encoded = nn.Conv2d(encoded, narrow, 3, padding=1)
        self.mix = nn.Conv2d(2 * narrow, narrow, 3, padding=1)
        self.scale_shift = nn.Conv2d(narrow, 2 * channels, 1)
        for parameter in self.scale_shift.parameters():
            nn.init.zeros_(parameter)

    def forward(self, decoded: Tensor, encoded: Tensor, w: float) -> tuple[Tensor, Tensor]:
        """(N,C,r,r) and (N,E,r,r) to the transformed (N,C,r,r) and what decided on it (N,narrow,r,r)."""
        seen = F.relu(torch.cat([self.decoded(decoded), self.encoded(encoded)], 1))
        said = F.relu(self.mix(seen))
        scale, shift = self.scale_shift(said).chunk(2, 1)
        return decoded + w * (decoded * scale + shift), said


class StyledDecoder(nn.Module):
    """Latent and style to face (N,3,S,S) in [-1,1] and mask logits (N,1,S,S); S is 16 times the latent's side."""

    def __init__(self, config: DecoderConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or DecoderConfig()
        self.stem = nn.Conv2d(c.latent, c.channels[0], 1)
        pairs = zip(c.channels, c.channels[1:], strict=False)
        self.layers = nn.ModuleList(Layer(c.style, a, b, c.side << (i + 1)) for i, (a, b) in enumerate(pairs))
        self.to_img = Modulation(c.style, c.channels[-1])
        self.img = nn.Conv2d(c.channels[-1], 3, 1)
        self.transforms = nn.ModuleList(
            NarrowTransform(*sizes) for sizes in zip(c.channels, c.encoded, c.narrow, strict=False)
        )
        self.mask = nn.Conv2d(c.narrow[-1], 16, 3, padding=1)
        nn.init.zeros_(self.mask.weight)
        nn.init.constant_(self.mask.bias, -3.0)  # type: ignore[arg-type]

    def forward(
        self,
        z: Tensor,
        styles: Tensor,
        skips: Sequence[Tensor],
        w: float,
        place: tuple[int, int] = (0, 0),
        progress: Progress | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Draw.

        Args:
            z: (N,latent,h,w).
            styles: (N,L), or (N,M,L) one for each modulation in the network's order.
            skips: the encoder's features, coarse to fine: at one, two and four times the latent's side.
            w: their weight; at 0 they are not looked at.
            place: row and column of the latent where a part of a face begins.
            progress: called after every layer.

        Returns:
            The face, and the mask's logits, None where `w` is 0.
        """
        each = styles.unbind(1) if styles.ndim == 3 else (styles,) * self.config.modulations
        x, said = self.stem(z), None
        for i, layer in enumerate(self.layers):
            if w != 0 and i < len(self.transforms):
                x, said = self.transforms[i](x, skips[i].to(x.dtype), w)
            row, column = (p << (i + 1) for p in place)
            x = layer(x, *each[3 * i : 3 * i + 3], (row, column))
            if progress:
                progress()
        y = self.img(self.to_img(x, each[-1])) / 2
        return y, None if said is None else F.pixel_shuffle(self.mask(said), 4)


def coarse_to_fine(skips: Mapping[int, Tensor]) -> list[Tensor]:
    """The encoder's features, without the faces themselves, which are the largest."""
    return [skips[side] for side in sorted(skips)[:-1]]
