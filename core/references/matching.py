"""Which person each face shows: evidence weighed by what the picture makes likely, and names given by hand above it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..faces.crop import template_view
from ..faces.evidence import chance, log_odds
from ..faces.identity import Embedders
from ..faces.measure import measure_quality
from ..finite import is_finite
from ..records import Crops, Face, FaceQuality, References
from .encoding import check_embedders
from .likeness import effective_count, likeness, mean_identity_embedding
from .names import check_names

log = logging.getLogger(__name__)

PRESENT = 0.9  # how likely it is that somebody whose photographs are given is in the picture
TWICE = 0.02  # and that another face shows the same person: a contact sheet, a mirror
BY_HAND = log_odds(0.97)  # how far a name given by hand is believed before the face is looked at
ENOUGH = 0.5  # the least chance at which a face is taken for a person
# Damage up to which an embedder that knows only good faces is asked in the built-in one's place.
CLEAN = 0.35
ROUNDS = 50  # of the alternation in which faces compete for people
LINKED, ALIKE = 0.5, 0.7  # overlap of boxes, and cosine, from which faces of two frames are one


@dataclass(frozen=True)
class Match:
    """Whom a face shows.

    Attributes:
        person: a name of the references, or None.
        chance: 0 to 1, that it shows that person, or the likeliest where nobody matched; None where there is nobody.
        score: cosine to the same.
        reason: why, one clause for reports.
        by_hand: whether it was named by hand.
    """

    person: str | None
    chance: float | None
    score: float | None
    reason: str
    by_hand: bool = False


@dataclass(frozen=True, eq=False)
class Looks:
    """N faces compared with P people: all that is kept of them until all have been looked at.

    Attributes:
        faces: N.
        embeddings: (N,D), the built-in embedder's.
        scores, evidence: (N,P), cosines and what they are evidence of.
    """

    faces: tuple[Face, ...]
    embeddings: Tensor
    scores: Tensor
    evidence: Tensor


def match_faces(
    crops: Crops,
    references: References,
    embedders: Embedders,
    threshold: float | None = None,
    manual: Mapping[int, str | None] | None = None,
) -> tuple[Match, ...]:
    """Say whom some faces show: :func:`look_at` them, then :func:`match_looks`.

    Raises:
        ValueError: as these.
    """
    return match_looks([look_at(crops, references, embedders)], references, threshold, manual)


def look_at(crops: Crops, references: References, embedders: Embedders) -> Looks:
    """Compare some faces with all people.

    Args:
        crops: the faces.
        references: whom to look for.
        embedders: those that the references were embedded by.

    Raises:
        ValueError: other embedders, or embeddings of another length than theirs.
    """
    check_embedders(references, embedders)
    identity, matching = embedders.identity, embedders.matching
    views = template_view(crops)
    qualities = qualities_of(crops)
    own = identity.embed(views)
    scores = likeness(own, references, mean_identity_embedding)
    counts = [effective_count(person) for person in references.people]
    evidence = identity.calibration.evidence(scores, qualities, counts)
    clean = [n for n, quality in enumerate(qualities) if quality.severity <= CLEAN]
    if matching is not identity and clean and counts:
        scores[clean] = likeness(matching.embed(views[clean]), references).to(scores)
        some = [qualities[n] for n in clean]
        evidence[clean] = matching.calibration.evidence(scores[clean], some, counts)
    return Looks(crops.faces, own.cpu(), scores.cpu(), evidence.cpu())


def match_looks(
    looks: Sequence[Looks],
    references: References,
    threshold: float | None = None,
    manual: Mapping[int, str | None] | None = None,
) -> tuple[Match, ...]:
    """Say whom the faces of some looks show; those of one track, and those that stay in place from frame to frame
    (:func:`linked_faces`), are judged by all of them together.

    Args:
        looks: at faces ordered by photograph.
        references: whom they were compared with.
        threshold: as in :func:`match_people`.
        manual: {number of a face in its photograph (:attr:`..records.Face.index`): name, or None for nobody}; holds in
            every photograph.

    Raises:
        ValueError: as :func:`match_people`.
    """
    if not looks:
        return ()
    faces = [face for look in looks for face in look.faces]
    evidence, scores = (torch.cat([getattr(look, name) for look in looks]) for name in ("evidence", "scores"))
    for group in linked_faces(faces, torch.cat([look.embeddings for look in looks])):
        evidence[group] = evidence[group].mean(0)
    by_place = {n: manual[face.index] for n, face in enumerate(faces) if manual and face.index in manual}
    return match_people(evidence, scores, [face.image for face in faces], references, threshold, by_place)


def labels_or_matches(
    crops: Crops,
    references: References,
    embedders: Embedders,
    threshold: float | None = None,
    manual: Mapping[int, str | None] | None = None,
) -> tuple[Match, ...]:
    """As :func:`match_faces`, unless a face carries a label (:attr:`..records.Face.person`): then all labels hold."""
    labels = [face.person for face in crops.faces]
    if all(label is None for label in labels):
        return match_faces(crops, references, embedders, threshold, manual)
    check_names([label for label in labels if label], references)
    return tuple(Match(f.person or None, f.match_chance, None, "matched before", f.by_hand) for f in crops.faces)


def match_people(
    evidence: Tensor,
    scores: Tensor,
    images: Sequence[int],
    references: References,
    threshold: float | None = None,
    manual: Mapping[int, str | None] | None = None,
) -> tuple[Match, ...]:
    """Assign people to faces, so that in each photograph the evidence summed over the faces is as large as possible.

    Before a face is looked at, each person is taken to be in the photograph with a chance of 0.9 and to be any of its
    faces alike: one face and one person make each other likely, a crowd makes nobody so. A person is a second face of
    a photograph only where that is clear.

    Args:
        evidence: (N,P) that each face shows each person (:mod:`..faces.evidence`).
        scores: (N,P) cosines, for reports.
        images: N numbers: which photograph each face is in.
        references: the P people.
        threshold: the least chance, above 0 and below 1, at which a face is taken for a person; None is 0.5.
        manual: {place of a face among the N: name, or None for nobody}; these hold, and what speaks against them is
            said.

    Raises:
        ValueError: tensors of other shapes or that are not finite, a name that is not among the references, a place
            that is none of the faces', or a threshold that is no such chance.
    """
    threshold = ENOUGH if threshold is None else threshold
    check_threshold(threshold)
    manual = manual or {}
    names = [person.name for person in references.people]
    check_names([name for name in manual.values() if name is not None], references)
    for name, tensor in (("evidence", evidence), ("scores", scores)):
        if tuple(tensor.shape) != (len(images), len(names)) or not is_finite(tensor):
            raise ValueError(
                f"The {name} of {len(images)} faces and {len(names)} people has the shape {tuple(tensor.shape)} or "
                f"holds NaN; expected ({len(images)}, {len(names)}) numbers. Check the pictures and the embedder."
            )
    for place in manual:
        if place not in range(len(images)):
            raise ValueError(f"Place {place} was named by hand; expected 0 to {len(images) - 1}, one of the faces.")
    matches = {place: _by_hand(name, names, evidence[place], scores[place]) for place, name in manual.items()}
    for image in dict.fromkeys(images):
        there = [n for n, at in enumerate(images) if at == image]
        taken = {matches[n].person for n in there if n in matches}
        faces = [n for n in there if n not in matches]
        free = [p for p, name in enumerate(names) if name not in taken]
        prior = PRESENT / max(len(faces), len(free), 1)
        nobody = math.log(1 - prior * len(free))
        likely = evidence[faces][:, free].double() + math.log(prior)
        gain = (likely - nobody).clamp_min(0)
        chances = _chances(torch.cat([likely, likely.new_full((len(faces), 1), nobody)], 1))
        for row, column in zip(*linear_sum_assignment(gain.numpy(), maximize=True), strict=True):
            if chances[row, column] >= threshold:
                n, p = faces[row], free[column]
                matches[n] = _matched(names[p], float(chances[row, column]), float(scores[n, p]))
        for row, n in enumerate(faces):
            if n not in matches:
                each = dict(zip(free, chances[row].tolist(), strict=True))
                matches[n] = _left_over(names, evidence[n], scores[n], each, threshold)
    return tuple(matches[n] for n in range(len(images)))


def labelled(face: Face, match: Match) -> Face:
    """The face with the name of whom it shows, and how sure that is; an empty name where it was matched to nobody."""
    sure = match.chance if match.person else None
    return replace(face, person=match.person or "", match_chance=sure, by_hand=match.by_hand)


def linked_faces(faces: Sequence[Face], embeddings: Tensor) -> list[list[int]]:
    """Groups of two faces and more that are one in several frames.

    Faces with a track belong to those of the same track. Of the others, those of neighbouring photographs of a batch
    do whose boxes overlap by a half and whose embeddings (N,D) have a cosine of 0.7: frames of a film without tracks.
    """
    groups: list[list[int]] = []
    for n, face in enumerate(faces):
        for group in groups:
            last = faces[group[-1]]
            if face.track is not None or last.track is not None:
                one = face.track == last.track
            else:
                one = face.image == last.image + 1 and _overlap(face, last) >= LINKED
                one = one and float(embeddings[n] @ embeddings[group[-1]]) >= ALIKE
            if one:
                group.append(n)
                break
        else:
            groups.append([n])
    return [group for group in groups if len(group) > 1]


def qualities_of(crops: Crops) -> list[FaceQuality]:
    """What was measured on the faces; measured now where it was not."""
    known = [face.quality for face in crops.faces]
    return [quality for quality in known if quality] if all(known) else measure_quality(crops)


def check_threshold(threshold: float) -> None:
    """Raise ValueError unless the threshold is a chance."""
    if not 0 < threshold < 1:
        raise ValueError(f"The threshold of matching was {threshold:g}; expected a chance above 0 and below 1.")


def _chances(likely: Tensor) -> Tensor:
    """About the chances (F,P) that each face shows each person, from the log-odds (F,P+1) of each and, last, of nobody.

    Nobody is two faces: where several claim a person, what they claim is shared, and where a person is taken the others
    become likelier (Sinkhorn's alternation; of a person no more than one whole is given away).
    """
    chances = likely.softmax(1)
    for _ in range(ROUNDS):
        given = chances[:, :-1].sum(0).clamp_min(1)
        chances = torch.cat([chances[:, :-1] / given, chances[:, -1:]], 1)
        chances = chances / chances.sum(1, keepdim=True)
    return chances[:, :-1]


def _by_hand(name: str | None, names: list[str], evidence: Tensor, scores: Tensor) -> Match:
    if name is None:
        return Match(None, None, None, "named as nobody by hand", True)
    p = names.index(name)
    sure = chance(float(evidence[p]) + BY_HAND)
    reason = "named by hand"
    if sure < ENOUGH:
        reason = f"named by hand, but probably somebody else: {sure:.0%} likely to be {name}"
        log.warning("A face was %s. It is restored with little of %s.", reason, name)
    return Match(name, sure, float(scores[p]), reason, True)


def _matched(name: str, sure: float, score: float) -> Match:
    return Match(name, sure, score, f"{name}, {sure:.0%} sure")


def _left_over(
    names: list[str], evidence: Tensor, scores: Tensor, chances: Mapping[int, float], threshold: float
) -> Match:
    """A face that is nobody's, or the second one of somebody who has another already."""
    if not names:
        return Match(None, None, None, "the references hold nobody")
    best = max(chances, key=lambda p: chances[p]) if chances else int(evidence.argmax())
    again = chance(float(evidence[best]) + log_odds(TWICE))
    if again >= threshold:
        return _matched(names[best], again, float(scores[best]))
    if not chances:
        return Match(None, None, float(scores[best]), "all people are other faces, as named by hand")
    sure = chances[best]
    reason = f"the likeliest is {names[best]}, {sure:.0%} sure, {threshold:.0%} needed; or name the face by hand"
    return Match(None, sure, float(scores[best]), reason)


def _overlap(a: Face, b: Face) -> float:
    """Intersection over union of two boxes."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    both = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a.box, b.box))
    return both / (areas - both) if areas > both else 0.0
