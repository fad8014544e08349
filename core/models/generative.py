"""The second restorer: tokens as before, whose latent is that of a generator's features at 32 px.

Provenance: ours; the decoder's layers descend from a published generator (see :mod:`.styled`). Encoder, code
transformer and gate are those of :mod:`.restorer`. Licence of code: Apache-2.0. Licence of weights: see MODEL_CARD.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .restorer import CodeTransformer, Encoder, Guide, Progress, RestorerConfig
from .style_head import StyleConfig, StyleHead
from .styled_decoder import DecoderConfig, StyledDecoder, coarse_to_fine


class GenerativeTokens(nn.Module):
    """Encoder, code transformer, codebook, gate and style head: all that says what is to be drawn."""

    def __init__(self, config: RestorerConfig | None = None, style: StyleConfig | None = None) -> None:
        super().__init__()
        self.config = config or RestorerConfig()
        self.encoder = Encoder(self.config)
        # What a face looks like at each place: convolutions see what is there, not where they are.
        self.place = nn.Parameter(torch.zeros(self.config.latent, self.config.size // 16, self.config.size // 16))
        self.embedding = nn.Parameter(torch.randn(self.config.codes, self.config.latent))
        self.transformer = CodeTransformer(self.config)
        self.gate = nn.Sequential(nn.Conv2d(2 * self.config.latent, 64, 1), nn.ReLU(), nn.Conv2d(64, 1, 3, padding=1))
        self.style = StyleHead(style or StyleConfig(self.config.latent, self.config.widths[-1], self.config.size // 16))

    def codebook(self) -> Tensor:
        """The code words (codes, latent)."""
        return self.embedding

    def encode(self, faces: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[int, Tensor]]:
        """Whole faces (N,3,S,S) in [0,1] to content (N,latent,S/16,S/16) and skips {side: features}, faces included."""
        content, features = self.encoder((faces * 2 - 1).to(self.encoder.stem.weight.dtype), progress)
        if progress:
            progress()
        return content + self.place, {faces.shape[-1]: faces} | {f.shape[-1]: f for f in features}

    def predict(self, content: Tensor, origin: tuple[int, int] = (0, 0), progress: Progress | None = None) -> Tensor:
        """Logits (N,h*w,codes) of the code words, positions row by row."""
        return self.transformer(content, origin, progress)

    def gate_logits(self, content: Tensor, code_latent: Tensor) -> Tensor:
        """How far code words should replace the latent, (N,1,h,w), before the sigmoid."""
        return self.gate(torch.cat([content, code_latent], 1))

    def mixed(
        self, content: Tensor, code_latent: Tensor, content_weight: float = 1.0, quality_weight: float = 1.0
    ) -> Tensor:
        """The latent (N,latent,h,w) that is drawn, as the head of :mod:`.restorer` has it."""
        if content_weight == 0:
            return torch.lerp(content, code_latent, quality_weight) if quality_weight < 1 else code_latent
        g = torch.sigmoid(self.gate_logits(content, code_latent))
        return content + quality_weight * (1 - content_weight * (1 - g)) * (code_latent - content)

    def told(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[int, Tensor]]:
        """Content, logits, the mean of the code words that they ask for, the mix of both that is drawn, and skips."""
        content, skips = self.encode(faces)
        logits = self.predict(content)
        words = (logits.float().softmax(-1) @ self.embedding.float()).mT.unflatten(2, content.shape[2:])
        return content, logits, words, self.mixed(content, words), skips


class GenerativeNet(GenerativeTokens):
    """The whole restorer: tokens, and a decoder that draws them.

    Content and quality weight mean what they mean in :mod:`.restorer`: at content 0 latent and style are told from the
    code words alone; at content 1 and quality 0 the face comes back as it was.
    """

    default_content = 1.0
    lookup = "mean"
    adain = False

    def __init__(
        self,
        config: RestorerConfig | None = None,
        style: StyleConfig | None = None,
        decoder: DecoderConfig | None = None,
    ) -> None:
        super().__init__(config, style)
        self.decoder = StyledDecoder(decoder)
        self.transfer: nn.Module | None = None  # a :class:`.transfer.TransferNet`, where its weights are at hand
        self.prior: nn.Module | None = None  # a :class:`.prior.Prior`, likewise

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> GenerativeNet:
        """The network that a checkpoint's tensors fit; they are not loaded."""
        return cls(RestorerConfig.from_state(state), StyleConfig.from_state(state), DecoderConfig.from_state(state))

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
        """Tokens to faces (N,3,S,S), about [0,1], float32."""
        face = skips[max(skips)]
        if guide:
            content, skips = guide.stand_in(content, skips)
            # At quality 0 the face itself comes back.
            face = torch.lerp(face.float(), skips[max(skips)], quality_weight)
        z = self.mixed(content, code_latent, content_weight, quality_weight)
        features = coarse_to_fine(skips)
        w = self.style(z, features[0], content_weight)
        y, mask = self.decoder(z, w, features, content_weight, progress=progress)
        y = (y.float() + 1) / 2
        if guide:
            y = guide.blend(y, features[-1])
        return blended(y, mask, face, content_weight, quality_weight)


def blended(y: Tensor, mask: Tensor | None, face: Tensor, content_weight: float, quality_weight: float) -> Tensor:
    """What was drawn (N,3,S,S) over the face, both in [0,1], as the mask's logits (N,1,S,S) say."""
    if mask is None or content_weight == 0:
        return y
    keep = 1 - quality_weight * (1 - torch.sigmoid(mask.float()))
    return y + content_weight * keep * (face.float() - y)
