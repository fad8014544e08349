"""Restorers with a codebook: a face goes in, tokens come out half way, a face at the end.

One class serves every such network (CodeFormer and ours), through the few steps that :class:`TokenNetwork` names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..batches import batch_size, check_faces, face_batches, in_batches
from ..devices import falls_back
from ..geometry import TEMPLATE_SIZE
from ..models.lookup import adain, look_up
from ..models.transfer import Photographs, TransferGuide, TransferNet
from ..records import FaceTokens, Lookup, Person, ReferenceFeatures

Progress = Callable[[], None]


class TokenNetwork(Protocol):
    """What a network with a codebook offers. Shapes as in :class:`..records.FaceTokens`; pictures in [0,1]."""

    default_content: float
    lookup: str  # how code words are taken where that is left to it, see :class:`..records.Lookup`
    adain: bool
    transfer: TransferNet | None  # the part that reads references
    prior: nn.Module | None  # over clean latents

    def encode(self, faces: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[int, Tensor]]:
        """Faces to content and skips."""
        ...

    def predict(self, content: Tensor, *, progress: Progress | None = None) -> Tensor:
        """Content to logits."""
        ...

    def codebook(self) -> Tensor:
        """The code words (K,C)."""
        ...

    def decode(
        self,
        content: Tensor,
        code_latent: Tensor,
        skips: Mapping[int, Tensor],
        content_weight: float,
        quality_weight: float,
        progress: Progress | None = None,
    ) -> Tensor:
        """Tokens to faces, not clamped."""
        ...


class TokenRestorer:
    """A restorer with a codebook: it can also stop half way, at tokens.

    Args:
        network: a `torch.nn.Module` that is also a `TokenNetwork`, where it is to run.
        name, licence, fingerprint: see :class:`..records.Restorer`.
    """

    def __init__(self, network: Any, name: str, licence: str, fingerprint: str) -> None:
        self._steps: TokenNetwork = network
        self.network: nn.Module = network
        self.name = name
        self.licence = licence
        self.fingerprint = fingerprint

    @property
    def with_tokens(self) -> TokenRestorer:
        """Itself."""
        return self

    @property
    def default_content(self) -> float:
        """The fidelity (content weight) that None stands for."""
        return self._steps.default_content

    @falls_back
    @torch.no_grad()
    def restore(self, faces: Tensor, fidelity: float | None = None, progress: Progress | None = None) -> Tensor:
        """See :meth:`..records.Restorer.restore`. Code words are taken as the network would.

        Raises:
            ValueError: faces of another shape, or a fidelity outside 0 to 1.
        """
        weight = self.default_content if fidelity is None else fidelity
        if not 0 <= weight <= 1:
            raise ValueError(f"Fidelity was {weight:g}; expected 0 (most restored) to 1 (closest to the input).")
        restored = [faces[:0].float()]
        for batch in face_batches(faces, self._like.device):
            content, code_latent, _, _, skips = self._tokens(batch, Lookup(), progress)
            restored.append(self._draw(content, code_latent, skips, weight, 1.0, progress).to(faces.device))
        return torch.cat(restored)

    @falls_back
    @torch.no_grad()
    def encode(
        self, faces: Tensor, lookup: Lookup, progress: Progress | None = None, whole_skips: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[int, Tensor]]:
        """See :meth:`..records.CodebookRestorer.encode`.

        All lie on the faces' device and are float32, but encoder features are bfloat16. A skip at the faces' own size
        is the picture itself and always keeps its precision.
        """

        def encoded(part: slice) -> tuple[list[Tensor], dict[int, Tensor]]:
            *tokens, skips = self._tokens(faces[part], lookup, progress)
            kept = {side: x if whole_skips or side == TEMPLATE_SIZE else x.bfloat16() for side, x in skips.items()}
            moved = [x.float().to(faces.device) for x in tokens]
            return moved, {side: x.to(faces.device) for side, x in kept.items()}

        check_faces(faces)
        batches = in_batches(len(faces), batch_size(self._like.device), encoded)
        batches = batches or [encoded(slice(0, 0))]  # no faces still have shapes
        content, code_latent, logits, confidence = map(torch.cat, zip(*(moved for moved, _ in batches), strict=True))
        skips = {side: torch.cat([kept[side] for _, kept in batches]) for side in batches[0][1]}
        return content, code_latent, logits, confidence, skips

    @falls_back
    @torch.no_grad()
    def decode(self, tokens: FaceTokens, progress: Progress | None = None) -> Tensor:
        """Draw the faces of tokens at the weights they carry: (N,3,512,512) float32 in [0,1], on the tokens' device."""
        device = tokens.content.device
        weights = tokens.content_weight, tokens.quality_weight

        def drawn(part: slice) -> Tensor:
            skips = {side: x[part] for side, x in tokens.skips.items()}
            guide = self._guide(tokens, part)
            return self._draw(tokens.content[part], tokens.code_latent[part], skips, *weights, progress, guide).to(
                device
            )

        none = torch.empty(0, 3, TEMPLATE_SIZE, TEMPLATE_SIZE, device=device)
        return torch.cat([none, *in_batches(len(tokens), batch_size(self._like.device), drawn)])

    @property
    def transfers(self) -> bool:
        """Whether the network itself takes texture from references."""
        return self._steps.transfer is not None

    @property
    def prior(self) -> nn.Module | None:
        """The network's prior over clean latents, by which it refines; None where it has none."""
        return self._steps.prior

    @falls_back
    @torch.no_grad()
    def transfer(
        self,
        tokens: FaceTokens,
        people: Sequence[Person | None],
        strength: float = 1.0,
        amounts: Sequence[float] | None = None,
        progress: Progress | None = None,
    ) -> tuple[FaceTokens, list[Tensor]]:
        """Look for each face in the photographs of its person.

        Args:
            tokens: N faces that this restorer encoded.
            people: for each face whose photographs to take from; None leaves the face as it is.
            strength: 0 to 1.
            amounts: for each face how much (0 to 1) is taken of its person's photographs. None is all.
            progress: called for each face.

        Returns:
            Tokens with `reference` set, and for each face (R,h,w) in [0,1], how much of each place is taken
            from each photograph; R is 0 for a face without a person.

        Raises:
            ValueError: the network has no part that transfers.
        """
        if self._steps.transfer is None:
            raise ValueError(f"'{self.name}' has no weights that read references; blend code words instead.")
        net, like, device = self._steps.transfer, self._like, tokens.content.device
        attribution: list[Tensor] = []
        given: dict[int, ReferenceFeatures] = {}
        for n, person in enumerate(people):
            if person is None:
                attribution.append(tokens.content.new_zeros(0, *tokens.content.shape[-2:]))
                continue
            one = slice(n, n + 1)
            photographs = Photographs(
                person.faces[None].to(like.device),
                person.content[None].to(like.device),
                {side: x[None].to(like.device) for side, x in person.skips.items()},
                person.identity_embeddings[None].to(like.device),
                torch.tensor([person.weights], device=like.device),
            )
            found = net.extract_references(
                tokens.content[one].to(like),
                tokens.code_latent[one].to(like),
                {side: x[one].to(like.device) for side, x in tokens.skips.items()},
                photographs,
                self._steps.codebook(),
                self._steps.encode,
                torch.tensor([amounts[n]], device=like.device) if amounts else None,
                strength,
            )
            reference = found.reference
            gate = reference.gates[found.shares.shape[-1]].float()
            attribution.append((found.shares * gate)[0].to(device))
            kept = reference.each(lambda x: x.to(device, torch.bfloat16))
            pictures, style = reference.pictures.to(device), reference.style.float().to(device)
            given[n] = replace(kept, pictures=pictures, style=style)
            if progress:
                progress()
        if not given:
            return tokens, attribution
        nothing = next(iter(given.values())).each(torch.zeros_like)
        first, *others = (given.get(n, nothing) for n in range(len(people)))
        return replace(tokens, reference=first.each(lambda *rows: torch.cat(rows), *others)), attribution

    def _guide(self, tokens: FaceTokens, part: slice) -> TransferGuide | None:
        """What guides the drawing of some faces; None where no reference gives them anything."""
        reference, network = tokens.reference, self._steps.transfer
        if reference is None or network is None or not bool(reference.gates[min(reference.gates)][part].any()):
            return None
        return TransferGuide(network, reference.each(lambda x: x[part].to(self._like.device)))

    @property
    def _like(self) -> Tensor:
        """Where the network lies now and its dtype: memory management may have moved it."""
        return next(self.network.parameters())

    def _tokens(
        self, faces: Tensor, lookup: Lookup, progress: Progress | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[int, Tensor]]:
        content, skips = self._steps.encode(faces.to(self._like.device, torch.float32), progress)
        logits = self._steps.predict(content, progress=progress)
        code_latent, confidence = look_up(
            logits, self._steps.codebook(), lookup.by(self._steps.lookup), side=content.shape[-2]
        )
        if self._steps.adain if lookup.adain is None else lookup.adain:
            code_latent = adain(code_latent, content)
        return content, code_latent, logits, confidence, skips

    def _draw(
        self,
        content: Tensor,
        code_latent: Tensor,
        skips: Mapping[int, Tensor],
        content_weight: float,
        quality_weight: float,
        progress: Progress | None,
        guide: TransferGuide | None = None,
    ) -> Tensor:
        like = self._like
        skips = {side: x.to(like.device) for side, x in skips.items()}
        # Only networks that transfer know of guides.
        more = {"guide": guide} if guide else {}
        faces = self._steps.decode(
            content.to(like), code_latent.to(like), skips, content_weight, quality_weight, progress, **more
        )
        return faces.float().clamp(0, 1)
