"""What good photographs of the same person give to the shipped restorer: found at the encoder, fused in the decoder.

Provenance: ours, written and trained for this project, after a reading of ENTED (Lau et al., WACV 2024; see
:mod:`.texture` for its operators). Licence of code: Apache-2.0. Licence of weights: see MODEL_CARD.md.

The references are warped to the degraded face (:mod:`.correspondence`), given its colours, and encoded again by the
restorer's own encoder, so that what is fused comes from the same layers as what it is fused with. Then, at 32, 64 and
128 px, with x the decoder's features and g the gate,

    x' = x + g·conv(FiLM(conv([x, warped features, textures, code words]), style)),

and at last the three finest bands of the picture y move towards those of the warped references a by g·alpha:

    y' = y + sum over bands b of g·alpha_b·(b(a) - b(y)).

For a decoder that redraws whatever its encoder saw clearly (:mod:`.generative`) the same happens before it, and what
was found stands in place of what the face itself shows: x are the encoder's features of the face, of which a part,
where g lets it, is that of the warped references (`takes`); their latent and their picture likewise.

g is a gate for each position times how sure it is that face and references show one person (:mod:`..faces.evidence`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..records import ReferenceFeatures
from .correspondence import Correspondence, Matches, warp
from .fusion import BANDS, Fusion, StyleCodes, bands, decided, doubled, match_colours, resized
from .lookup import adain
from .texture import CodebookAttention, Distribution, Extraction, reconstruct

ATTENTION_SCALE = 40.0  # how much a photograph that is more alike at a place (cosine of descriptors) counts there
Encode = Callable[[Tensor], tuple[Tensor, Mapping[int, Tensor]]]


@dataclass(frozen=True)
class TransferConfig:
    """Sizes of a :class:`TransferNet`.

    Attributes:
        widths, latent: the restorer's.
        embedding: numbers in an identity embedding.
        style: channels of a style code.
        words: channels of what the codebook gives.
        textures: (side, number, kernel) of each scale, NTED's.
        hidden: channels between the two convolutions of each fusion, coarse to fine.
        takes: whether what was found stands in place of what the face shows, before the decoder.
    """

    widths: tuple[int, int, int] = (32, 64, 128)
    latent: int = 128
    embedding: int = 128
    style: int = 64
    words: int = 32
    textures: tuple[tuple[int, int, int], ...] = ((16, 16, 1), (32, 32, 3), (64, 32, 3), (128, 64, 3))
    hidden: tuple[int, int, int] = (128, 96, 48)
    takes: bool = False

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> TransferConfig:
        """Read the sizes off a checkpoint's tensor shapes."""
        latent = state["correspondence.hint.weight"].shape[1]
        style, embedding = state["styles.identity.weight"].shape
        sides = sorted(int(m[1]) for key in state if (m := re.fullmatch(r"extract\.(\d+)\.filters\.weight", key)))
        filters = [state[f"extract.{side}.filters.weight"].shape for side in sides]
        return cls(
            widths=(
                state["extract.128.values.weight"].shape[0],
                state["extract.64.values.weight"].shape[0],
                state["correspondence.entry.weight"].shape[1] - latent,
            ),
            latent=latent,
            embedding=embedding,
            style=style,
            words=state["words.32.queries.weight"].shape[0],
            textures=tuple((side, shape[0], shape[2]) for side, shape in zip(sides, filters, strict=True)),
            hidden=tuple(state[f"fusions.{level}.mix.weight"].shape[0] for level in range(3)),  # type: ignore[arg-type]
            takes="takes.0.weight" in state,
        )


@dataclass(frozen=True, eq=False)
class Photographs:
    """R references of each of N faces: pictures (N,R,3,S,S) in [0,1], latents (N,R,L,h,w), encoder features
    {side: (N,R,C,r,r)}, embeddings (N,R,D), weights (N,R) above 0."""

    pictures: Tensor
    content: Tensor
    skips: Mapping[int, Tensor]
    identity_embeddings: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class ReferenceExtraction:
    """What references give, and how it was found.

    Attributes:
        reference: what is fused; its latent has a side of 32 px, its features have 32, 64 and 128.
        shares: (N,R,32,32), sum over R is 1: which photograph gives how much; the gate is not in it.
        matches: flow and descriptors.
        echoes: {side: (N,3,side,side)} the references' colours sent the way their textures went; empty unless asked.
    """

    reference: ReferenceFeatures
    shares: Tensor
    matches: Matches
    echoes: dict[int, Tensor]


class TransferNet(nn.Module):
    """Finds what references give to a face, and fuses it in the decoder (see the head of this file)."""

    def __init__(self, config: TransferConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or TransferConfig()
        fine, middle, coarse = c.widths
        self.correspondence = Correspondence(coarse, middle, c.latent)
        channels = {128: fine, 64: middle, 32: coarse, 16: coarse}
        self.extract = nn.ModuleDict({str(side): Extraction(channels[side], k, size) for side, k, size in c.textures})
        self.distribute = nn.ModuleDict(
            {str(side): Distribution(channels[side], k, size) for side, k, size in c.textures}
        )
        self.words = nn.ModuleDict(
            {
                "32": CodebookAttention(coarse, c.latent, c.words),
                "64": CodebookAttention(middle, c.latent, c.words, c.words),
            }
        )
        opening = nn.Conv2d(64, 1, 3, padding=1)
        nn.init.zeros_(opening.weight)
        nn.init.constant_(opening.bias, 2.0)  # type: ignore[arg-type]  # open, until it learns on wrong references
        self.gate = nn.Sequential(nn.Conv2d(2 * 64 + 4, 64, 3, padding=1), nn.ReLU(), opening)
        self.styles = StyleCodes(c.latent, c.embedding, c.style)
        found = (2 * coarse + c.latent + c.words, 2 * middle + c.words, 2 * fine + 48)
        self.fusions = nn.ModuleList(
            Fusion(w, f, h, c.style) for w, f, h in zip((coarse, middle, fine), found, c.hidden, strict=True)
        )
        self.takes = nn.ModuleList()
        for width in (coarse, middle, fine) if c.takes else ():
            take = nn.Conv2d(2 * width, 1, 3, padding=1)
            nn.init.zeros_(take.weight)
            nn.init.constant_(take.bias, 3.0)  # type: ignore[arg-type]
            self.takes.append(take)
        self.bands = nn.Conv2d(fine + 2 * fine + 48, BANDS, 3, padding=1)
        nn.init.zeros_(self.bands.weight)
        nn.init.constant_(self.bands.bias, -2.0)  # type: ignore[arg-type]

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> TransferNet:
        """The network of a checkpoint."""
        net = cls(TransferConfig.from_state(state))
        net.load_state_dict(state)
        return net

    def extract_references(
        self,
        content: Tensor,
        code_latent: Tensor,
        skips: Mapping[int, Tensor],
        photographs: Photographs,
        codebook: Tensor,
        encode: Encode,
        identity_gate: Tensor | None = None,
        strength: float = 1.0,
        echo: bool = False,
    ) -> ReferenceExtraction:
        """Look for the face in its references.

        Args:
            content, code_latent: the face's latent and its code words (N,L,h,w).
            skips: its encoder features {side: (N,C,r,r)} and, under its own side, the face (N,3,S,S) in [0,1].
            photographs: its references.
            codebook: (codes,L).
            encode: the restorer's, faces (N,3,S,S) in [0,1] to latent and features, as `skips` are.
            identity_gate: (N,) 0 to 1, how sure it is that the references show the same person; None is no doubt.
            strength: 0 to 1, multiplies the gate.
            echo: also send the references' colours the textures' way, for the loss that teaches it.
        """
        like = self.bands.weight
        size = max(skips)
        face = skips[size].float()
        skips = {side: x.to(like) for side, x in skips.items() if side != size}
        stored = {side: x.to(like) for side, x in photographs.skips.items()}
        content, code_latent, codebook, remembered = (
            x.to(like) for x in (content, code_latent, codebook, photographs.content)
        )
        n, r = photographs.weights.shape
        matches = self.correspondence(
            (skips[32], content, code_latent),
            (stored[32], remembered),
            (skips[64], stored[64]),
        )
        flow = matches.flow.flatten(0, 1)
        seen = warp(photographs.pictures.flatten(0, 1).float(), flow)
        seen = match_colours(seen, face.repeat_interleave(r, 0))
        with torch.no_grad():
            latent, features = encode(seen.contiguous(memory_format=torch.channels_last))
        alike = F.cosine_similarity(matches.queries[:, None].float(), matches.keys.float(), dim=2)[:, :, None]
        attention_logits = (
            matches.confidence + ATTENTION_SCALE * alike + photographs.weights.log()[:, :, None, None, None]
        )
        shares = attention_logits.softmax(1)

        def merged(x: Tensor) -> Tensor:
            """Weighted sum over the references of (N*R,C,r,r)."""
            share = F.interpolate(shares.flatten(0, 1), x.shape[-2:], mode="bilinear", align_corners=False)
            return (x.unflatten(0, (n, r)) * share.unflatten(0, (n, r)).to(x)).sum(1)

        skips[16], stored[16] = (
            F.avg_pool2d(skips[32], 2),
            F.avg_pool2d(stored[32].flatten(0, 1), 2).unflatten(0, (n, r)),
        )
        given, echoes = {}, {}
        for side, *_ in self.config.textures:
            textures, taken = self.extract[str(side)](stored[side], photographs.weights)
            out, spread = self.distribute[str(side)](skips[side], textures)
            given[side] = adain(out, skips[side]).to(like)
            if echo:
                small = F.adaptive_avg_pool2d(photographs.pictures.flatten(0, 1), side).unflatten(0, (n, r))
                echoes[side] = reconstruct(small, taken, spread)
        words = {32: self.words["32"](skips[32], codebook)}
        words[64] = self.words["64"](skips[64], codebook, words[32])

        picture = merged(seen)
        difference = F.adaptive_avg_pool2d(picture - face, 32).abs()
        confidence = (matches.confidence * shares).sum(1)  # of the place
        keys = (matches.keys * shares.to(matches.keys)).sum(1)
        agreement = torch.cat([matches.queries, keys, difference.to(keys), confidence.to(keys)], 1)
        gate = torch.sigmoid(self.gate(agreement).float())
        if self.takes:
            gate = decided(gate)
        identity = F.normalize((photographs.identity_embeddings * photographs.weights[..., None]).sum(1), dim=-1)
        gate = (
            strength * gate if identity_gate is None else strength * identity_gate[:, None, None, None].to(gate) * gate
        )

        given[32] = given[32] + doubled(given.pop(16))
        reference = ReferenceFeatures(
            {side: merged(features[side]) for side in (128, 64, 32)},
            merged(latent),
            given,
            words,
            {side: resized(gate, side).to(like) for side in given},
            picture,
            self.styles(content, remembered, identity.to(like)),
        )
        return ReferenceExtraction(reference, shares[:, :, 0], matches, echoes)

    def fuse(self, level: int, x: Tensor, reference: ReferenceFeatures) -> Tensor:
        """The decoder's features (N,C,r,r) at 32, 64 or 128 px (level 0, 1, 2) with what was found."""
        gate = reference.gates[x.shape[-1]].to(x)
        return self.fusions[level](x, _together(x, reference), gate, reference.style.to(x))

    def stand_in(
        self, content: Tensor, skips: Mapping[int, Tensor], reference: ReferenceFeatures
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Latent and skips of the face, faces included, with what was found in their place."""
        mixed, shares = {}, {}
        for level, side in enumerate((32, 64, 128)):
            x, there = skips[side].to(content), reference.warped[side].to(content)
            take = torch.sigmoid(self.takes[level](torch.cat([x, there], 1)))
            shares[side] = reference.gates[side].to(x) * decided(take)
            mixed[side] = self.fuse(level, torch.lerp(x, there, shares[side]), reference)
        size = max(skips)
        share = resized(shares[128].float(), size)
        mixed[size] = torch.lerp(skips[size].float(), reference.pictures.float(), share)
        return torch.lerp(content, reference.latent.to(content), shares[32]), mixed

    def blend(self, y: Tensor, x: Tensor, reference: ReferenceFeatures) -> Tensor:
        """The picture y (N,3,S,S) in [0,1], decoded from features x at 128 px, with the references' finest bands."""
        alpha = torch.sigmoid(self.bands(torch.cat([x, _together(x, reference)], 1)).float())
        alpha = alpha * reference.gates[x.shape[-1]].to(x)
        here, there = bands(y), bands(reference.pictures.to(y))
        move = y.new_zeros(())
        for b in reversed(range(BANDS)):  # coarse to fine
            part = resized(alpha[:, b : b + 1], here[b].shape[-1]) * (there[b] - here[b])
            move = part if move.ndim == 0 else doubled(move) + part
        return y + move


@dataclass(frozen=True, eq=False)
class TransferGuide:
    """What was found, bound to the network that fuses it: the :class:`.restorer.Guide` of some faces.

    Attributes:
        network: fuses.
        reference: see :class:`ReferenceExtraction`.
    """

    network: TransferNet
    reference: ReferenceFeatures

    def fuse(self, level: int, x: Tensor) -> Tensor:
        """See :meth:`TransferNet.fuse`."""
        return self.network.fuse(level, x, self.reference)

    def stand_in(self, content: Tensor, skips: Mapping[int, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """See :meth:`TransferNet.stand_in`."""
        return self.network.stand_in(content, skips, self.reference)

    def blend(self, y: Tensor, x: Tensor) -> Tensor:
        """See :meth:`TransferNet.blend`."""
        return self.network.blend(y, x, self.reference)


def _together(x: Tensor, reference: ReferenceFeatures) -> Tensor:
    """All that references give at the side of x, without gates; at the finest with the pictures, 4x4 pixels a place."""
    side = x.shape[-1]
    parts = [reference.warped[side]]
    if side == reference.latent.shape[-1]:
        parts.append(reference.latent)
    parts.append(reference.textures[side])
    if side in reference.words:
        parts.append(reference.words[side])
    if 4 * side == reference.pictures.shape[-1]:
        parts.append(F.pixel_unshuffle((reference.pictures * 2 - 1).to(x), 4))
    return torch.cat([part.to(x) for part in parts], 1)
