"""Giving faces the texture of the photographs of their people, and showing what came from which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..faces.crop import maps_into_crops, pick_crops, template_masks, template_view
from ..faces.evidence import amount
from ..faces.measure import measure_quality
from ..faces.preview import tinted
from ..geometry import TEMPLATE_SIZE
from ..records import Crops, FaceQuality, FaceTokens, Person, References
from .code_blending import blend_codes
from .encoding import check_restorer
from .names import check_names
from .views import Refusal, qualities_of

Progress = Callable[[], None]

# Damage up to which a photograph is good enough for any face: undamaged ones measure up to 0.31, and the measure takes
# blocks of JPEG for texture, so that a ruined face may seem to be the better one.
GOOD = 0.35
SAME_PICTURE = 1 / 255  # mean difference of two aligned faces up to which they are one picture
# Of its references a face is given the less the sharper it is, down to a half: what it shows of itself is better than
# what photographs of other days do. Tried on people of the train split (30 of LFW with three photographs, 24 of London
# with one) beside a quarter to seven tenths: this has the largest sum of what right ones bring, EdgeFace as the
# product decides: +.010 and +.047 at moderate damage, +.032 and +.086 where faces are small, +.293 and +.443 at
# severe. All of them always: -.007 and +.048, +.018 and +.107, +.295 and +.447. A stranger's, named by hand, at
# moderate damage -.012 and -.044, in place of -.020 and -.058.
LEAST_NEEDED, SHARPER = 0.5, 3.0


@dataclass(frozen=True, eq=False)
class Transferred:
    """Tokens after the transfer, and what was taken.

    Attributes:
        tokens: to be restored and decoded.
        attribution: for each face (R,h,w) in [0,1], how much of each place was taken from each of the R photographs of
            its person; R is 0 for a face without a person.
        people: whose photographs each face was given, None for nobody's.
        unused: for each face (source, reason) of the person's photographs that were passed over.
    """

    tokens: FaceTokens
    attribution: tuple[Tensor, ...]
    people: tuple[Person | None, ...]
    unused: tuple[tuple[Refusal, ...], ...]


def transfer_texture(
    tokens: FaceTokens,
    references: References,
    strength: float = 1.0,
    people: Sequence[str | None] | None = None,
    progress: Progress | None = None,
) -> Transferred:
    """Give each face texture from the photographs of its person.

    A photograph is passed over for a face that it is the very picture of, and for one that is no more damaged than it.
    Less is taken where it is not sure that the face shows the person (:func:`..faces.evidence.amount`), and where the
    face itself still shows much (:func:`needed`).

    Args:
        tokens: of the faces, as they were encoded.
        references: encoded by the tokens' restorer.
        strength: 0 (the tokens as they are) to 1.
        people: the name of the person each face shows, or None for nobody; left out, those that the faces carry
            (:attr:`..records.Face.person`).
        progress: see :class:`..records.Restorer`.

    Returns:
        New tokens. At strength 0, and where there is nobody to take from, those that were given.

    Raises:
        ValueError: references of another restorer or with features of other shapes, a name that is not among them, not
            as many names as faces, or a strength outside 0 to 1.
    """
    check_strength(strength)
    fits = _fit(tokens, references, people)
    given = [fit.person if fit.rows else None for fit in fits]
    attribution = [tokens.content.new_zeros(len(f.person) if f.person else 0, *tokens.content.shape[-2:]) for f in fits]
    if strength > 0 and any(given):
        chosen = [fit.chosen for fit in fits]
        amounts = [amount(face.match_chance) for face in tokens.crops.faces]
        if tokens.restorer.transfers:
            amounts = [share * fit.needed for share, fit in zip(amounts, fits, strict=True)]
            tokens, found = tokens.restorer.transfer(tokens, chosen, strength, amounts, progress)
        else:
            tokens, found = blend_codes(tokens, chosen, strength, amounts, progress)
        for n, fit in enumerate(fits):
            if fit.rows:
                attribution[n][list(fit.rows)] = found[n].to(attribution[n])
    return Transferred(tokens, tuple(attribution), tuple(given), tuple(fit.unused for fit in fits))


def photographs_for(
    tokens: FaceTokens, references: References, people: Sequence[str | None] | None = None
) -> list[Person | None]:
    """For each face its person with those photographs alone that :func:`transfer_texture` would use; None for nobody's.

    Raises:
        ValueError: as there, and the arguments are those of there.
    """
    return [fit.chosen for fit in _fit(tokens, references, people)]


def needed(quality: FaceQuality) -> float:
    """How much (0.5 to 1) of its references a face is given, by how much it shows of itself."""
    return max(LEAST_NEEDED, 1 - SHARPER * quality.sharpness)


def attribution_map(transferred: Transferred) -> Tensor:
    """Which photograph gave what: the faces in grey under one colour of :mod:`..faces.preview` for each photograph.

    Returns:
        (N,3,S,S) float32 in [0,1] in the crops' own geometry.
    """
    crops = transferred.tokens.crops
    pictures = []
    for n, (pixels, shares) in enumerate(zip(crops.pixels, transferred.attribution, strict=True)):
        if len(shares):
            shares = maps_into_crops(pick_crops(crops, [n]), shares[None].to(pixels))[0].clamp(0, 1)
        else:
            shares = pixels.new_zeros(0, *pixels.shape[-2:])
        pictures.append(tinted(pixels, shares))
    return torch.stack(pictures) if pictures else crops.pixels


def shares_taken(transferred: Transferred) -> list[tuple[tuple[str, float], ...]]:
    """For each face (source, share) of its person's photographs: how much of the face was taken from it, 0 to 1."""
    masks = template_masks(transferred.tokens.crops)
    taken = []
    for mask, person, shares in zip(masks, transferred.people, transferred.attribution, strict=True):
        face = F.interpolate(mask[None], shares.shape[-2:], mode="area")[0, 0].to(shares)
        each = ((shares * face).sum((1, 2)) / face.sum()).tolist()
        taken.append(tuple(zip(person.sources, each, strict=True)) if person else ())
    return taken


def check_strength(strength: float) -> None:
    """Raise ValueError unless the strength is 0 to 1."""
    if not 0 <= strength <= 1:
        raise ValueError(f"The strength of the references was {strength:g}; expected 0 to 1.")


@dataclass(frozen=True, eq=False)
class _Fit:
    """A face's person, which of their photographs are good for it, why the others are not, and how much it needs."""

    person: Person | None = None
    rows: tuple[int, ...] = ()
    unused: tuple[Refusal, ...] = ()
    needed: float = 1.0

    @property
    def chosen(self) -> Person | None:
        """The person with the photographs that are good for the face; None where there are none."""
        return _subset(self.person, self.rows) if self.person and self.rows else None


def _fit(tokens: FaceTokens, references: References, people: Sequence[str | None] | None) -> list[_Fit]:
    """What is at hand for each face."""
    check_restorer(references, tokens.restorer)
    labels = [face.person for face in tokens.crops.faces] if people is None else people
    names = [label or None for label in labels]
    if len(names) != len(tokens):
        raise ValueError(f"Got {len(names)} names for {len(tokens)} faces; expected one for each (None for nobody).")
    check_names([name for name in names if name is not None], references)
    by_name = {person.name: person for person in references.people if person.name in names}
    qualities = {name: qualities_of(person) for name, person in by_name.items()}
    fits = []
    for n, name in enumerate(names):
        if name is None:
            fits.append(_Fit())
            continue
        _check_features(by_name[name], tokens)
        face = pick_crops(tokens.crops, [n])
        own = face.faces[0].quality or measure_quality(face)[0]
        rows, unused = _usable(face, own.severity, by_name[name], qualities[name])
        fits.append(_Fit(by_name[name], tuple(rows), unused, needed(own)))
    return fits


def _check_features(person: Person, tokens: FaceTokens) -> None:
    """Raise ValueError unless a person's photographs were encoded to what the tokens' restorer encodes faces to."""
    pairs = {"content": (person.content, tokens.content), "code words": (person.code_latent, tokens.code_latent)}
    for side, own in tokens.skips.items():
        if side != TEMPLATE_SIZE:
            pairs[f"features of {side} px"] = (person.skips.get(side, own.new_zeros(0)), own)
    for name, (found, own) in pairs.items():
        if found.shape[1:] != own.shape[1:]:
            raise ValueError(
                f"The {name} of the references of '{person.name}' have the shape {tuple(found.shape[1:])}, but this "
                f"restorer '{tokens.restorer.name}' makes {tuple(own.shape[1:])}; expected the same. Encode the "
                "photographs again with it."
            )


def _usable(
    face: Crops, own: float, person: Person, qualities: Sequence[FaceQuality]
) -> tuple[list[int], tuple[Refusal, ...]]:
    """Which of a person's photographs are good for a face of such damage, and why the others are not."""
    different = (template_view(face).to(person.faces) - person.faces).abs().mean((1, 2, 3)) > SAME_PICTURE
    rows, unused = [], []
    for row, (source, quality) in enumerate(zip(person.sources, qualities, strict=True)):
        if not different[row]:
            unused.append((source, "it is the very picture that is to be restored"))
        elif quality.severity > max(GOOD, own):
            unused.append((source, f"it is more damaged ({quality.severity:.2f}) than the face itself ({own:.2f})"))
        else:
            rows.append(row)
    return rows, tuple(unused)


def _subset(person: Person, rows: Sequence[int]) -> Person:
    """The person with some of their photographs."""
    if len(rows) == len(person):
        return person
    rows = list(rows)
    return replace(
        person,
        faces=person.faces[rows],
        content=person.content[rows],
        code_latent=person.code_latent[rows],
        skips={side: x[rows] for side, x in person.skips.items()},
        identity_embeddings=person.identity_embeddings[rows],
        matching_embeddings=person.matching_embeddings[rows],
        weights=tuple(person.weights[row] for row in rows),
        given=tuple(person.given[row] for row in rows) if person.given else (),
        qualities=tuple(person.qualities[row] for row in rows) if person.qualities else (),
        sources=tuple(person.sources[row] for row in rows),
    )
