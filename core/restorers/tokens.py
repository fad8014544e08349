"""Face tokens: encode crops, set the weights, decode. Each step returns a new record and changes none.

The steps are those of the graph: lookup happens when tokens are encoded, restoring only sets the mix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..faces.crop import into_crops, maps_into_crops, template_view
from ..records import Crops, FaceTokens, Lookup, Restorer

Progress = Callable[[], None]


@dataclass(frozen=True)
class CodeUse:
    """How the faces of a record use the codebook.

    Attributes:
        distinct: code words that are the likeliest somewhere.
        codes: words in the codebook.
        perplexity: 1 (one word everywhere) to `distinct` (all equally often).
        confidence: mean probability of the likeliest word, 0 to 1.
    """

    distinct: int
    codes: int
    perplexity: float
    confidence: float


def encode_tokens(
    crops: Crops,
    restorer: Restorer,
    lookup: Lookup | None = None,
    progress: Progress | None = None,
    whole_skips: bool = False,
) -> FaceTokens:
    """Encode the template's view of each crop and look its codes up.

    Args:
        crops: aligned faces, with or without a margin; none are fine.
        restorer: one with a codebook.
        lookup: None takes the nearest codes.
        progress: see :class:`..records.Restorer`.
        whole_skips: see :meth:`..records.CodebookRestorer.encode`.

    Returns:
        Tokens at the restorer's own content weight, and quality weight 1.

    Raises:
        ValueError: the restorer has no tokens.
    """
    able = restorer.with_tokens
    if able is None:
        raise ValueError(
            f"'{restorer.name}' restores whole faces and has no tokens; expected a restorer with a codebook (the "
            "built-in one or CodeFormer). Choose one of these, or restore the crops as a whole."
        )
    views = template_view(crops)
    content, code_latent, logits, confidence, skips = able.encode(views, lookup or Lookup(), progress, whole_skips)
    return FaceTokens(content, code_latent, logits, confidence, skips, crops, able, able.default_content)


def restore_tokens(tokens: FaceTokens, content: float | None = None, quality: float = 1.0) -> FaceTokens:
    """Set how content and quality are mixed when the tokens are decoded.

    Args:
        tokens: of any faces.
        content: 0 (the codebook's face) to 1 (closest to the input); None is the restorer's own choice. CodeFormer's w.
        quality: 0 (the input's own texture) to 1 (the codebook's); CodeFormer knows 1 only.

    Raises:
        ValueError: a weight outside 0 to 1.
    """
    content = tokens.restorer.default_content if content is None else content
    for name, weight in (("content", content), ("quality", quality)):
        if not 0 <= weight <= 1:
            raise ValueError(f"The {name} weight was {weight:g}; expected 0 to 1.")
    return replace(tokens, content_weight=content, quality_weight=quality)


def decode_tokens(tokens: FaceTokens, progress: Progress | None = None) -> Tensor:
    """Draw the faces and put them back into their crops' own geometry: (N,3,S,S) float32 in [0,1].

    Raises:
        ValueError: the restorer cannot draw at the weights set.
    """
    return into_crops(tokens.crops, tokens.restorer.decode(tokens, progress))


def invention_map(tokens: FaceTokens) -> Tensor:
    """Where the faces that will be drawn come from the codebook, neither from the photograph nor from a reference.

    Ours: quality_weight · (1 - content_weight · sqrt(a·p)) · (1 - g). There a is how far the code words agree with
    what was encoded at the same place (the cosine of the two latents, no less than 0), p the probability of the code
    that was taken, and g the gate of the transfer (0 without references): what was looked up with low confidence counts
    as invented, what a reference gave does not. It is 0 where nothing is taken from the codebook, and at content weight
    0 it is 1 but where references gave something.

    Returns:
        (N,1,S,S) float32 in [0,1] in the crops' own geometry; 0 in the margin, which is the photograph's.
    """
    agree = F.cosine_similarity(tokens.content.float(), tokens.code_latent.float(), dim=1).clamp_min(0)[:, None]
    seen = (agree * tokens.confidence.to(agree)).sqrt()
    share = tokens.quality_weight * (1 - tokens.content_weight * seen)
    if tokens.reference is not None:
        share = share * (1 - tokens.reference.gates[share.shape[-1]].to(share))
    return maps_into_crops(tokens.crops, share).clamp(0, 1)


def code_use(tokens: FaceTokens) -> CodeUse:
    """How many code words the tokens use, how evenly, and how surely; all 0 where there are no faces."""
    words = tokens.logits.shape[-1]
    if not len(tokens):
        return CodeUse(0, words, 0.0, 0.0)
    share = torch.bincount(tokens.logits.argmax(-1).flatten(), minlength=words).float()
    share /= share.sum()
    perplexity = float(torch.special.entr(share).sum().exp())
    return CodeUse(int((share > 0).sum()), words, perplexity, float(tokens.confidence.mean()))
