"""Latent refinement: a flow towards the latents of clean faces, steered towards an identity.

After CLR-Face (IJCAI 2024), in the form of a flow that starts at the degraded latent (:mod:`.models.prior`). What is
ours: the target mixes what the damaged face says with what the references' embeddings say.

Off unless asked for: what it changes is small, and MODEL_CARD.md has the table (``core/training/refine_table.py``).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .batches import batch_size, in_batches
from .devices import retried
from .faces.crop import maps_into_crops, template_view
from .faces.evidence import amount
from .faces.identity import Embedder
from .faces.measure import measure_quality
from .models.flow import solve, towards
from .models.lookup import look_up
from .models.prior import NOISE, Prior, given_by
from .models.restorer import ResemblanceNet
from .models.transfer import TransferGuide
from .records import CodebookRestorer, FaceTokens, Lookup, Person, Restorer

log = logging.getLogger(__name__)

Progress = Callable[[], None]

STEPS = 8
IDENTITY_SCALE = 0.25  # s of the guidance at an identity scale of 1, in spreads of the latent
LEAST_CONFIDENCE = 0.1  # in the embedding of a face that is damaged beyond measure
AUTO_STEPS = 0  # of a restorer with a prior; the table in MODEL_CARD.md says why


@dataclass(frozen=True)
class RefinementOptions:
    """How faces are refined.

    Attributes:
        steps: 0 (off: nothing changes) to 8; None is the restorer's own choice.
        identity_scale: 0 (free of charge) to 1, how strongly the identity steers; above 0 a step takes several times as
            long.
        seed: of the noise the flow starts with; the same one gives the same faces on one machine.
        candidates: 1 to 8; above 1 that many are made of each face, and the one most alike the identity is taken; the
            face as it was where none is more alike than that.

    Raises:
        ValueError: one of them out of range.
    """

    steps: int | None = None
    identity_scale: float = 0.0
    seed: int = 0
    candidates: int = 1

    def __post_init__(self) -> None:
        if self.steps is not None and not 0 <= self.steps <= STEPS:
            raise ValueError(f"Got {self.steps} steps of refinement; expected 0 (off) to {STEPS}.")
        if not 0 <= self.identity_scale <= 1:
            raise ValueError(f"The strength of the identity was {self.identity_scale:g}; expected 0 to 1.")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"The seed was {self.seed}; expected 0 to 2^64 - 1.")
        if not 1 <= self.candidates <= STEPS:
            raise ValueError(f"Got {self.candidates} candidates; expected 1 to {STEPS}.")

    @property
    def needs_identity(self) -> bool:
        """Whether the identity embedder is needed."""
        return bool(self.steps) and (self.identity_scale > 0 or self.candidates > 1)

    def resolved(self, restorer: Restorer) -> RefinementOptions:
        """The same with a number of steps.

        Raises:
            ValueError: steps of a restorer that cannot refine.
        """
        able = restorer.with_tokens
        refines = able is not None and able.prior is not None
        if self.steps and not refines:
            raise ValueError(_cannot_refine(restorer))
        return replace(self, steps=AUTO_STEPS if refines else 0) if self.steps is None else self


@dataclass(frozen=True, eq=False)
class Refined:
    """Tokens after refinement, and how they came about.

    Attributes:
        tokens: their codes are looked up again.
        mask: (N,1,S,S) in [0,1] in the crops' own geometry, where an identity may move the latent.
        spread: (N,1,S,S) in the crops' own geometry, standard deviation of the faces drawn from several candidates: how
            much of a place is invention; None with one candidate.
        chosen: for each face which candidate was taken; None is the face as it was.
        stopped: (number of the face, why) for those that could not be refined; they are as they were.
    """

    tokens: FaceTokens
    mask: Tensor
    spread: Tensor | None
    chosen: tuple[int | None, ...]
    stopped: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class RefinedFace:
    """What refinement did to one face.

    Attributes:
        candidate: which one was taken, from 0; None where the face stays as it was.
        stopped: why the face could not be refined, or None.
        spread: mean over the face of the standard deviation of the candidates' pixels; None with one candidate.
    """

    candidate: int | None
    stopped: str | None
    spread: float | None


def refined_faces(refined: Refined) -> list[RefinedFace]:
    """What came of each face."""
    stopped = dict(refined.stopped)
    masks = refined.tokens.crops.masks
    spreads: list[float | None] = [None] * len(masks)
    if refined.spread is not None:
        masks = masks.to(refined.spread)
        spreads = ((refined.spread * masks).sum((1, 2, 3)) / masks.sum((1, 2, 3))).tolist()
    return [RefinedFace(each, stopped.get(n), spreads[n]) for n, each in enumerate(refined.chosen)]


def refine_tokens(
    tokens: FaceTokens,
    options: RefinementOptions,
    people: Sequence[Person | None] | None = None,
    identity: Embedder | None = None,
    progress: Progress | None = None,
) -> Refined:
    """Refine the latents of faces.

    Args:
        tokens: of a restorer with a prior (the built-in one); what references gave them is read.
        options: with a number of steps (:meth:`RefinementOptions.resolved`).
        people: for each face whose photographs to read; None for nobody.
        identity: the identity embedder, where the options need it.
        progress: called after each step of each batch of faces.

    Raises:
        ValueError: a restorer without a prior, options that were not resolved, no embedder where one is needed, or not
            as many people as faces.
    """
    network, prior = _parts(tokens.restorer)
    _check(tokens, options, people, identity)
    count = len(tokens)
    mask = maps_into_crops(tokens.crops, prior.mask.float().to(tokens.content.device).expand(count, -1, -1, -1)).clamp(
        0, 1
    )
    if not options.steps or not count:
        return Refined(tokens, mask, None, (None,) * count, ())
    given = people if people and any(people) else None
    read, target = tokens, None
    if given and tokens.reference is None and tokens.restorer.transfers:
        read, _ = tokens.restorer.transfer(
            tokens, given, amounts=[amount(face.match_chance) for face in tokens.crops.faces]
        )
    if identity and options.needs_identity:
        target = identity_target(tokens, identity.embed(template_view(tokens.crops)), given)
    guide = identity.network if identity and options.identity_scale else None

    def drawn() -> list[Tensor]:
        generator = torch.Generator().manual_seed(options.seed)
        with torch.inference_mode(False), torch.no_grad():
            flow = _Flow(network, prior, guide)
            refined = []
            for _ in range(options.candidates):
                # One noise for all faces: a face does not depend on which others it is refined with.
                noise = torch.randn(tokens.content.shape[1:], generator=generator)
                work = partial(flow, read, noise, options, target, progress)
                refined.append(torch.cat(in_batches(count, batch_size(network.embedding.device), work)))
        return refined

    refined = retried(drawn, network, guide)
    made = [_looked_up(tokens, network, content) for content in refined]
    whole = torch.stack([content.isfinite().flatten(1).all(1) for content in refined]).all(0)
    stopped = []
    for n in (~whole).nonzero().flatten().tolist():
        face = tokens.crops.faces[n]
        why = f"The latent of face {face.index} of photograph {face.image} is not finite; the face is left unrefined."
        log.warning(why)
        stopped.append((n, why))
    chosen: list[int | None] = [0 if fine else None for fine in whole.tolist()]
    spread = None
    if options.candidates > 1:
        assert identity is not None and target is not None
        pictures = torch.stack([tokens.restorer.decode(each) for each in (tokens, *made)])
        scores = torch.stack([(identity.embed(drawn) * target).sum(1) for drawn in pictures])
        best = torch.where(whole, scores.nan_to_num(-2).argmax(0), 0)
        chosen = [b - 1 if b else None for b in best.tolist()]
        spread = maps_into_crops(tokens.crops, pictures[1:].std(0).mean(1, keepdim=True).nan_to_num(0)).clamp(0, 1)
    return Refined(_taken(tokens, made, chosen), mask, spread, tuple(chosen), tuple(stopped))


def identity_target(tokens: FaceTokens, own: Tensor, people: Sequence[Person | None] | None) -> Tensor:
    """Whom faces should look like: their own embeddings and their references', mixed by confidence.

    A damaged face counts by what is left of it, its references by how sure it is that they show the same person.

    Args:
        tokens: N faces.
        own: (N,D) what the built-in embedder, which was trained on damage, says of them.
        people: N.

    Returns:
        (N,D) of length 1.
    """
    faces = tokens.crops.faces
    measured = [face.quality for face in faces]
    if None in measured:
        measured = list(measure_quality(tokens.crops))
    kept = [max(1 - each.severity, LEAST_CONFIDENCE) for each in measured if each]
    target = own * own.new_tensor(kept)[:, None]
    for n, person in enumerate(people or ()):
        if person is None:
            continue
        weights = person.identity_embeddings.new_tensor(person.weights)[:, None]
        theirs = F.normalize((person.identity_embeddings * weights).sum(0), dim=0).to(own)
        target[n] += amount(faces[n].match_chance) * theirs
    return F.normalize(target)


class _Flow:
    """The prior at work on some faces, outside inference mode: tensors made inside it have no gradients.

    Args:
        network: the restorer's.
        prior: its prior.
        recognizer: by which an identity is told; None without guidance.
    """

    def __init__(self, network: ResemblanceNet, prior: Prior, recognizer: nn.Module | None) -> None:
        if any(p.is_inference() for module in (network, recognizer) if module for p in module.parameters()):
            network, recognizer = copy.deepcopy((network, recognizer))
            prior = network.prior  # type: ignore[assignment]
        self.network, self.prior, self.recognizer = network, prior, recognizer

    def __call__(
        self,
        tokens: FaceTokens,
        noise: Tensor,
        options: RefinementOptions,
        target: Tensor | None,
        progress: Progress | None,
        part: slice,
    ) -> Tensor:
        """Refined content (n,L,h,w) of a part of the faces, float32, on the tokens' device."""
        network, prior = self.network, self.prior
        like = network.embedding

        def placed(x: Tensor) -> Tensor:
            return x[part].clone().to(like.device)

        content, code_latent = placed(tokens.content).to(like), placed(tokens.code_latent).to(like)
        reference = tokens.reference and tokens.reference.each(placed)
        given = given_by(reference, content) if reference else None
        gate = torch.sigmoid(network.gate_logits(content, code_latent))
        begin, condition = prior.start(content, code_latent, gate, given)
        begin = begin + NOISE * noise.to(like.device)

        def velocity(x: Tensor, t: float) -> Tensor:
            return prior(x.to(like), x.new_full((len(x),), t), condition).float()

        guide = None
        if options.identity_scale and self.recognizer is not None and target is not None:
            recognizer = self.recognizer
            elsewhere = next(recognizer.parameters()).device
            wanted = target[part].clone().to(elsewhere)
            skips = {side: placed(x) for side, x in tokens.skips.items()}
            drawn_with = None
            if reference and network.transfer is not None:
                drawn_with = TransferGuide(network.transfer, reference)  # type: ignore[arg-type]

            def likeness(latent: Tensor) -> Tensor:
                drawn = network.decode(prior.restore(latent).to(like), code_latent, skips, guide=drawn_with)
                return (recognizer(drawn.to(elsewhere)) * wanted).sum(1)

            guide = towards(likeness, prior.mask.float(), IDENTITY_SCALE * options.identity_scale)
        refined = prior.restore(solve(velocity, begin, options.steps or 0, guide, progress))
        return refined.float().to(tokens.content.device)


def _looked_up(tokens: FaceTokens, network: ResemblanceNet, content: Tensor) -> FaceTokens:
    """The tokens with other content, and its code words."""
    like = network.embedding

    @torch.no_grad()
    def found(part: slice) -> tuple[Tensor, Tensor, Tensor]:
        logits = network.predict(content[part].to(like))
        code_latent, confidence = look_up(logits, network.codebook(), Lookup(network.lookup), side=content.shape[-2])
        return code_latent.to(content), logits.float().to(content), confidence.to(content)

    columns = zip(*in_batches(len(content), batch_size(like.device), found), strict=True)
    code_latent, logits, confidence = (torch.cat(column) for column in columns)
    return replace(tokens, content=content, code_latent=code_latent, logits=logits, confidence=confidence)


def _taken(tokens: FaceTokens, made: Sequence[FaceTokens], chosen: Sequence[int | None]) -> FaceTokens:
    """Of each face the tokens that were chosen."""
    sources = [tokens if c is None else made[c] for c in chosen]

    def rows(name: str) -> Tensor:
        return torch.stack([getattr(source, name)[n] for n, source in enumerate(sources)])

    return replace(
        tokens,
        content=rows("content"),
        code_latent=rows("code_latent"),
        logits=rows("logits"),
        confidence=rows("confidence"),
    )


def _parts(restorer: CodebookRestorer) -> tuple[ResemblanceNet, Prior]:
    """The network and its prior.

    Raises:
        ValueError: it has none.
    """
    if restorer.prior is None:
        raise ValueError(_cannot_refine(restorer))
    return cast(ResemblanceNet, restorer.network), cast(Prior, restorer.prior)


def _check(
    tokens: FaceTokens, options: RefinementOptions, people: Sequence[Person | None] | None, identity: Embedder | None
) -> None:
    if options.steps is None:
        raise ValueError("The steps of refinement were None; expected a number: resolve the options first.")
    if people is not None and len(people) != len(tokens):
        raise ValueError(f"Got {len(people)} people for {len(tokens)} faces; expected one for each (None for nobody).")
    if options.needs_identity and identity is None:
        raise ValueError(
            "Got no identity embedder; expected one where refinement has an identity or several candidates. Load it "
            "with load_embedders."
        )


def _cannot_refine(restorer: Restorer) -> str:
    return (
        f"'{restorer.name}' has no prior over clean latents and cannot refine; use the built-in restorer, or leave "
        "refinement out (0 steps)."
    )
