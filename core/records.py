"""The records that travel from step to step. All are frozen: a step returns a new record and changes none it got."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

from torch import Tensor, nn

Progress = Callable[[], None]
Box = tuple[float, float, float, float]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FaceQuality:
    """What was measured on a face (see :mod:`.faces.measure`).

    Attributes:
        sharpness: 0 (nothing but blur) to 1 (fine texture), measured at the 512 px template.
        size: distance between the eyes [px of the photograph].
        noise: standard deviation of the noise, in the range 0 to 1 of pixel values.
        severity: 0 (none) to 1 (as severe as it gets), whatever it comes from.
    """

    sharpness: float
    size: float
    noise: float
    severity: float


@dataclass(frozen=True)
class Face:
    """One face found in one photograph. Coordinates as in :mod:`.geometry`.

    Attributes:
        image: which photograph of the batch.
        index: its place in that photograph, from 0, stable from detection on.
        box: x0, y0, x1, y1 [px].
        score: 0 to 1, how sure the detector was.
        landmarks: left eye, right eye, nose tip, left and right corner of the mouth, as seen in the picture [px].
        quality: what was measured, or None where nothing was.
        person: name of the person it was matched to; empty where it was matched to nobody, None where nothing was
            matched.
        match_chance: 0 to 1, that it shows that person; the less, the less is taken of the references. None is no
            doubt.
        by_hand: whether the person was named by hand.
        track: number of the video track it belongs to.
    """

    image: int
    index: int
    box: Box
    score: float
    landmarks: Points
    quality: FaceQuality | None = None
    person: str | None = None
    match_chance: float | None = None
    by_hand: bool = False
    track: int | None = None

    @property
    def number(self) -> int:
        """What people are told, and say, in place of the index: from 1."""
        return self.index + 1


@dataclass(frozen=True)
class PhotoFaces:
    """The faces of a batch of photographs.

    Attributes:
        faces: ordered by photograph and then by number; none are fine.
        photos: (height, width) of every photograph of the batch [px].
    """

    faces: tuple[Face, ...]
    photos: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True, eq=False)
class Crops:
    """Aligned faces, flat, ordered by photograph and then by face index. May be empty (N = 0).

    Attributes:
        pixels: (N,3,S,S) float32 RGB in [0,1].
        masks: (N,1,S,S) float32 in [0,1]: where a restored face is to be pasted.
        affines: (N,2,3) float64, photograph → crop.
        margin: how much of the template's side the crop shows beyond the template, on each side.
        faces: the N faces.
        photos: (height, width) of every photograph of the batch they came from [px].
    """

    pixels: Tensor
    masks: Tensor
    affines: Tensor
    margin: float
    faces: tuple[Face, ...]
    photos: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def size(self) -> int:
        """Side of the crops [px]."""
        return self.pixels.shape[-1]


LOOKUPS = ("auto", "nearest", "top-k", "mean")


@dataclass(frozen=True)
class Lookup:
    """How codes are taken from the codebook.

    Attributes:
        mode: ``"nearest"`` takes the likeliest code; ``"top-k"`` mixes the `k` likeliest by their probability,
            ``"mean"`` all; ``"auto"`` leaves it to the restorer.
        k: codes to mix, 1 or more.
        temperature: above 1 mixes more evenly, below 1 more sharply.
        adain: give the looked-up codes the encoder output's mean and spread per channel (CodeFormer's option);
            None leaves it to the restorer.
    """

    mode: str = "auto"
    k: int = 4
    temperature: float = 1.0
    adain: bool | None = None

    def __post_init__(self) -> None:
        if self.mode not in LOOKUPS:
            raise ValueError(f"Lookup mode was '{self.mode}'; expected {', '.join(map(repr, LOOKUPS))}.")
        if self.k < 1 or not self.temperature > 0:
            raise ValueError(
                f"Lookup got k={self.k}, temperature={self.temperature}; expected k >= 1 and temperature > 0."
            )

    def by(self, own: str) -> Lookup:
        """The same, with a restorer's own mode where it is left to it."""
        return replace(self, mode=own) if self.mode == "auto" else self


@dataclass(frozen=True, eq=False)
class ReferenceFeatures:
    """What references give to N faces.

    Attributes:
        warped: {side in px: (N,C,r,r)} the restorer's encoder features of the photographs, warped to the faces.
        latent: (N,L,h,w) the latent of the same.
        textures: {side in px: (N,C,r,r)} extracted from the photographs and distributed over the faces.
        words: {side in px: (N,W,r,r)} what the codebook answers to the faces' own features.
        gates: {side in px: (N,1,r,r)} in [0,1], how much is taken at each place.
        pictures: (N,3,S,S) in [0,1], the photographs warped to the faces.
        style: (N,16,C) style codes.
    """

    warped: Mapping[int, Tensor] = field(repr=False)
    latent: Tensor = field(repr=False)
    textures: Mapping[int, Tensor] = field(repr=False)
    words: Mapping[int, Tensor] = field(repr=False)
    gates: Mapping[int, Tensor] = field(repr=False)
    pictures: Tensor = field(repr=False)
    style: Tensor = field(repr=False)

    def each(self, change: Callable[..., Tensor], *others: ReferenceFeatures) -> ReferenceFeatures:
        """The record of what a function makes of each tensor, and of the same one of each of the others."""
        made: dict[str, Any] = {}
        for name in (f.name for f in fields(self)):
            own, *theirs = (getattr(record, name) for record in (self, *others))
            if isinstance(own, Mapping):
                made[name] = {side: change(x, *(other[side] for other in theirs)) for side, x in own.items()}
            else:
                made[name] = change(own, *theirs)
        return ReferenceFeatures(**made)


@dataclass(frozen=True, eq=False)
class FaceTokens:
    """What a restorer with a codebook knows of each face: content from the face itself, quality from the codebook.

    CodeFormer has one kind of token; the split in two is ours.

    Attributes:
        content: (N,C,h,w) latent encoded from the degraded face.
        code_latent: (N,C,h,w) what the codebook (and references) say the same place looks like at high quality.
        logits: (N,h*w,K) over the code words, positions row by row.
        confidence: (N,1,h,w) in [0,1], probability of the code that was taken.
        skips: {side in px: (N,C,r,r)} encoder features, bfloat16, shared between records.
        crops: the faces these tokens were encoded from.
        restorer: the restorer that made them.
        content_weight: 0 to 1, how much is taken from the face itself.
        quality_weight: 0 to 1, how much is taken from the codebook.
        reference: what references give; None without any.
    """

    content: Tensor
    code_latent: Tensor
    logits: Tensor
    confidence: Tensor
    skips: dict[int, Tensor] = field(repr=False)
    crops: Crops
    restorer: CodebookRestorer
    content_weight: float
    quality_weight: float = 1.0
    reference: ReferenceFeatures | None = None

    def __len__(self) -> int:
        return len(self.content)


@dataclass(frozen=True, eq=False)
class Person:
    """Good photographs of one person, encoded once and used for every face and frame.

    Attributes:
        name: of the person.
        faces: (R,3,512,512) float32 RGB in [0,1], aligned to the template.
        content: (R,C,h,w) the restorer's latent of them.
        code_latent: (R,C,h,w) the code words looked up for them.
        skips: {side in px: (R,C,r,r)} the restorer's encoder features, bfloat16, without the pictures themselves.
        identity_embeddings: (R,D) unit float32, the built-in embedder's: what the transfer network reads.
        matching_embeddings: (R,E) unit float32, of the embedder that was chosen: the same, or insightface's for clean
            faces.
        weights: how much each photograph counts, above 0; less where it is doubtful that it shows the person.
        sources: what each photograph is called in reports.
        given: the weights as they were given, before any doubt; empty is the same.
        qualities: what was measured on each photograph when it was encoded; empty where nothing was.
    """

    name: str
    faces: Tensor
    content: Tensor
    code_latent: Tensor
    skips: dict[int, Tensor] = field(repr=False)
    identity_embeddings: Tensor
    matching_embeddings: Tensor
    weights: tuple[float, ...]
    sources: tuple[str, ...]
    given: tuple[float, ...] = ()
    qualities: tuple[FaceQuality, ...] = ()

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True, eq=False)
class References:
    """The people whose photographs are at hand.

    Attributes:
        people: each with one photograph or more.
        restorer: fingerprint of the restorer that encoded them; another one cannot read them.
        embedder: name of the embedder that made their embeddings.
        embedded_by: fingerprints of that embedder and of the built-in one; others cannot be compared with them.
        refused: (source, reason) of photographs that are not used.
        doubted: (source, reason) of photographs that count for less.
    """

    people: tuple[Person, ...]
    restorer: str
    embedder: str
    embedded_by: tuple[str, str]
    refused: tuple[tuple[str, str], ...] = ()
    doubted: tuple[tuple[str, str], ...] = ()


class Restorer(Protocol):
    """What every restorer can do.

    Attributes:
        name: shown to users.
        fingerprint: sixteen hex digits that stand for the weights.
        licence: of the weights, as far as known.
        network: what memory management may move between devices; None where there is no PyTorch network.
    """

    name: str
    fingerprint: str
    licence: str

    @property
    def network(self) -> nn.Module | None:  # noqa: D102 - see above
        ...

    @property
    def with_tokens(self) -> CodebookRestorer | None:
        """The same restorer where it can stop half way, at tokens; None where it only restores whole faces."""
        ...

    def restore(self, faces: Tensor, fidelity: float | None = None, progress: Progress | None = None) -> Tensor:
        """Restore aligned faces, a few at a time.

        Args:
            faces: (N,3,512,512) float RGB in [0,1], aligned to the template, on any device; N may be 0.
            fidelity: 0 (most restored) to 1 (closest to the input); None is the restorer's own choice.
            progress: called every fraction of a second or so; what it raises ends the work.

        Returns:
            The same shape and device, float32 in [0,1].
        """
        ...


class CodebookRestorer(Restorer, Protocol):
    """A restorer that can stop half way, at tokens (:class:`.restorers.token_restorer.TokenRestorer` is one).

    Attributes:
        default_content: the content weight that None stands for.
        transfers: whether the network itself takes texture from references.
        prior: over clean latents, by which it refines; None where it cannot.
    """

    @property
    def default_content(self) -> float:  # noqa: D102 - see above
        ...

    @property
    def transfers(self) -> bool:  # noqa: D102 - see above
        ...

    @property
    def prior(self) -> nn.Module | None:  # noqa: D102 - see above
        ...

    def encode(
        self, faces: Tensor, lookup: Lookup, progress: Progress | None = None, whole_skips: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[int, Tensor]]:
        """Faces (N,3,512,512) to content, code latent, logits, confidence and skips of :class:`FaceTokens`.

        Args:
            faces: as for `restore`.
            lookup: how code words are taken.
            progress: as for `restore`.
            whole_skips: leave the skips as they are; else they are bfloat16, half as large, for tokens that are kept.
        """
        ...

    def decode(self, tokens: FaceTokens, progress: Progress | None = None) -> Tensor:
        """Draw the faces of tokens at the weights they carry: (N,3,512,512) float32 in [0,1]."""
        ...

    def transfer(
        self,
        tokens: FaceTokens,
        people: Sequence[Person | None],
        strength: float = 1.0,
        amounts: Sequence[float] | None = None,
        progress: Progress | None = None,
    ) -> tuple[FaceTokens, list[Tensor]]:
        """Look for each face in the photographs of its person."""
        ...
