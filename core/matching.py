"""Which person each face shows: an assignment by embeddings, with a threshold, and names given by hand above it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from .crop import template_view
from .identity import Embedder
from .records import Crops, Face, Person, References
from .references import check_embedder

NOBODY = "none"  # what is written in place of a name


@dataclass(frozen=True)
class Match:
    """Whom a face shows.

    Attributes:
        person: a name of the references, or None.
        score: cosine to that person, or to the most alike where nobody matched; None where there are no people.
        reason: why, one clause for reports.
        by_hand: whether it was named by hand.
    """

    person: str | None
    score: float | None
    reason: str
    by_hand: bool = False


def match_faces(
    crops: Crops,
    references: References,
    embedder: Embedder,
    threshold: float | None = None,
    manual: Mapping[int, str | None] | None = None,
) -> tuple[Match, ...]:
    """Embed some faces and match them.

    Args:
        crops: the faces.
        references: whom to look for.
        embedder: the one that the references were embedded by.
        threshold: as in :func:`match_people`; None takes the embedder's own.
        manual: {number of a face in its photograph (:attr:`.records.Face.index`): name, or None for nobody}; holds in
            every photograph.

    Raises:
        ValueError: another embedder; else as :func:`match_people`.
    """
    check_embedder(references, embedder)
    by_place = {n: manual[face.index] for n, face in enumerate(crops.faces) if manual and face.index in manual}
    embeddings = embedder.embed(template_view(crops))
    images = [face.image for face in crops.faces]
    return match_people(embeddings, images, references, embedder.same if threshold is None else threshold, by_place)


def labels_or_matches(
    crops: Crops,
    references: References,
    embedder: Embedder,
    threshold: float | None = None,
    manual: Mapping[int, str | None] | None = None,
) -> tuple[Match, ...]:
    """As :func:`match_faces`, unless a face carries a label (:attr:`.records.Face.person`): then all labels hold."""
    labels = [face.person for face in crops.faces]
    if all(label is None for label in labels):
        return match_faces(crops, references, embedder, threshold, manual)
    check_names([label for label in labels if label], references)
    return tuple(Match(face.person or None, None, "matched before", face.by_hand) for face in crops.faces)


def match_people(
    embeddings: Tensor,
    images: Sequence[int],
    references: References,
    threshold: float,
    manual: Mapping[int, str | None] | None = None,
) -> tuple[Match, ...]:
    """Assign people to faces: in each photograph a person at most once, so that as much likeness as possible is found.

    Args:
        embeddings: (N,E) unit, of the faces.
        images: N numbers: which photograph each face is in.
        references: whom to look for.
        threshold: the least cosine to a person (see :func:`likeness`).
        manual: {place of a face among the N: name, or None for nobody}; these are not questioned. Embeddings of
            severely damaged faces say little.

    Returns:
        N matches. Of all assignments the one with the largest sum of (cosine - threshold) is taken.

    Raises:
        ValueError: a name that is not among the references, or a threshold outside -1 to 1.
    """
    check_threshold(threshold)
    manual = manual or {}
    names = [person.name for person in references.people]
    check_names([name for name in manual.values() if name is not None], references)
    scores = likeness(embeddings, references).cpu()
    matches: dict[int, Match] = {}
    for place, name in manual.items():
        score = float(scores[place, names.index(name)]) if name is not None else None
        matches[place] = Match(name, score, "named by hand" if name is not None else "named as nobody by hand", True)
    for image in dict.fromkeys(images):
        faces = [n for n, at in enumerate(images) if at == image]
        taken = {matches[n].person for n in faces if n in matches}
        faces = [n for n in faces if n not in matches]
        free = [p for p, name in enumerate(names) if name not in taken]
        gain = (scores[faces][:, free].double() - threshold).clamp_min(0)
        for row, column in zip(*linear_sum_assignment(gain.numpy(), maximize=True), strict=True):
            score = float(scores[faces[row], free[column]])
            if score >= threshold:
                reason = f"cosine {score:.2f}, {threshold:.2f} or more needed"
                matches[faces[row]] = Match(names[free[column]], score, reason)
        for n in faces:
            if n not in matches:
                matches[n] = _nobody(scores[n], names, threshold)
    return tuple(matches[n] for n in range(len(images)))


def labelled(face: Face, match: Match) -> Face:
    """The face with the name of whom it shows; an empty one where it was matched to nobody."""
    return replace(face, person=match.person or "", by_hand=match.by_hand)


def likeness(embeddings: Tensor, references: References) -> Tensor:
    """Cosine (N,P) of each embedding (N,E) with each person's :func:`mean_embedding`."""
    means = [mean_embedding(person).to(embeddings) for person in references.people]
    if not means:
        return embeddings.new_zeros(len(embeddings), 0)
    return F.normalize(embeddings, dim=1) @ torch.stack(means).T


def mean_embedding(person: Person) -> Tensor:
    """Unit embedding (E,) that stands for a person: the mean of their photographs', weighted."""
    weights = person.embeddings.new_tensor(person.weights)
    return F.normalize(weights @ person.embeddings, dim=0)


def check_names(names: Sequence[str], references: References) -> None:
    """Raise ValueError unless all names are among the references'."""
    known = [person.name for person in references.people]
    for name in names:
        if name not in known:
            raise ValueError(
                f"'{name}' is not among the people of the references; expected one of {', '.join(known) or 'nobody'}."
            )


def check_threshold(threshold: float) -> None:
    """Raise ValueError unless the threshold is a cosine."""
    if not -1 <= threshold <= 1:
        raise ValueError(f"The threshold of matching was {threshold:g}; expected a cosine, -1 to 1.")


def parse_manual(text: str) -> dict[int, str | None]:
    """Numbers of faces and names, such as ``"1=anna, 2=none"``; nothing where the text is empty.

    Raises:
        ValueError: anything else.
    """
    found: dict[int, str | None] = {}
    for part in filter(str.strip, re.split(r"[,\n]", text)):
        pair = re.fullmatch(r"\s*(\d{1,6})\s*=\s*(\S.*?)\s*", part)
        if not pair or int(pair[1]) in found:
            raise ValueError(
                f"The matches were '{text}'; expected numbers of faces and names such as '0=anna, 1={NOBODY}', each "
                "number once."
            )
        found[int(pair[1])] = None if pair[2] == NOBODY else pair[2]
    return found


def _nobody(scores: Tensor, names: list[str], threshold: float) -> Match:
    if not names:
        return Match(None, None, "the references hold nobody")
    best = int(scores.argmax())
    score = float(scores[best])
    if score >= threshold:
        return Match(None, score, f"{names[best]} (cosine {score:.2f}) is matched to another face")
    reason = f"the most alike is {names[best]}, cosine {score:.2f}, {threshold:.2f} needed; or name the face by hand"
    return Match(None, score, reason)
