"""Reference photographs without names: sorted by who is on them, matched to the faces, and told in plain words.

A visitor drops good photographs in a heap. Those alike are one person's; a person is matched to the face most like
them. Where recognition fails the visitor says which face a photograph belongs to, and that is not questioned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ...detect import Detect
from ...identity import Embedder
from ...images import read_photo
from ...matching import Match, likeness, match_faces, mean_embedding
from ...records import Crops, Person, References
from ...references import ReferencePhoto, encode_references
from ...restorers import Restorer

Progress = Callable[[], None]
NOBODY = -1  # in place of a face's number: the photograph is of nobody here


@dataclass(frozen=True, eq=False)
class Studio:
    """The networks, loaded once for all visitors.

    Attributes:
        restorer: the built-in one.
        embedder: the built-in one.
        detect: photographs → faces, as many as the page takes.
        detect_all: the same without leaving any out, for reference photographs.
        detector: what it is called.
        refines: whether the restorer has a prior.
    """

    restorer: Restorer
    embedder: Embedder
    detect: Detect
    detect_all: Detect
    detector: str
    refines: bool


@dataclass(frozen=True, eq=False)
class Reference:
    """A photograph that a visitor gave to take texture from.

    Attributes:
        name: of its file.
        path: of the visitor's own copy.
        seen: the face in it, as of a person of their own; None where it cannot be used by itself.
        problem: why not, or None.
        several: whether it cannot because it shows several faces, and nothing says whose is meant.
    """

    name: str
    path: Path
    seen: Person | None
    problem: str | None
    several: bool = False


@dataclass(frozen=True)
class Verdict:
    """What became of a reference photograph: whether it serves a face, and which or why not, in a sentence."""

    name: str
    used: bool
    text: str


@dataclass(frozen=True, eq=False)
class Matched:
    """Who is who in a photograph.

    Attributes:
        references: the people; None where no photograph can be used.
        matches: of each face; None without references.
        manual: {number of a face: person}, named by hand.
        named: (photograph, person) of each that was read, in order.
        verdicts: one for each photograph, in order.
    """

    references: References | None
    matches: tuple[Match | None, ...]
    manual: dict[int, str | None]
    named: tuple[tuple[Reference, str], ...]
    verdicts: tuple[Verdict, ...]


def look_at(name: str, path: Path, studio: Studio) -> Reference:
    """Read one reference photograph by itself.

    Raises:
        OSError, PictureError: as :func:`...images.read_photo`.
    """
    pixels = read_photo(path).pixels
    photo = ReferencePhoto(pixels, str(path), name)
    found = encode_references([photo], studio.restorer, studio.embedder, studio.detect_all)
    if found.people:
        return Reference(name, path, found.people[0], None)
    return Reference(name, path, None, found.refused[0][1], len(studio.detect_all(pixels[None])) > 1)


def match(
    given: Sequence[Reference],
    crops: Crops,
    by_hand: Mapping[Path, int],
    studio: Studio,
    encoded: Callable[[str, tuple[Path, ...]], References],
) -> Matched:
    """Sort reference photographs by person and match the people to faces.

    Args:
        given: the photographs.
        crops: the faces of one photograph.
        by_hand: {path of a photograph: number of the face it belongs to, or NOBODY}.
        studio: the networks.
        encoded: (person, their photographs) → references to them alone.
    """
    people: list[Person] = []
    refused: dict[Path, str] = {}
    manual: dict[int, str | None] = {}
    named: list[tuple[Reference, str]] = []
    for number, (face, members) in enumerate(_groups(given, by_hand, studio.embedder.same), 1):
        name = f"person {number}"
        one = encoded(name, tuple(reference.path for reference in members))
        why = dict(one.refused)
        refused |= {Path(path): reason for path, reason in why.items()}
        named += [(reference, name) for reference in members if str(reference.path) not in why]
        people += one.people
        if face is not None and one.people:
            manual[face] = name
    references = References(tuple(people), studio.restorer.fingerprint, studio.embedder.name)
    matches: tuple[Match | None, ...] = (None,) * len(crops)
    if people:
        matches = match_faces(crops, references, studio.embedder, manual=manual)
    alike = likeness(studio.embedder.embed(crops.pixels), references)
    names = [person.name for person in people]
    verdicts = []
    for reference in given:
        rows = [names.index(name) for read, name in named if read is reference]
        if by_hand.get(reference.path) == NOBODY:
            verdicts.append(Verdict(reference.name, False, "Left out, as you said."))
        elif rows:
            told = [_verdict(reference.name, names[row], matches, alike[:, row], studio.embedder.same) for row in rows]
            used = [verdict.text for verdict in told if verdict.used]
            verdicts.append(Verdict(reference.name, bool(used), " ".join(used) or told[0].text))
        else:
            reason = reference.problem or refused.get(reference.path) or "it cannot be read"
            text = f"Not used: {reason[:1].lower()}{reason[1:].replace('cosine', 'likeness').rstrip('.')}."
            verdicts.append(Verdict(reference.name, False, text))
    return Matched(references if people else None, matches, manual, tuple(named), tuple(verdicts))


def encode_group(name: str, paths: Sequence[Path], studio: Studio, progress: Progress | None = None) -> References:
    """Encode the photographs of one person together: they must agree with each other."""
    photos = (ReferencePhoto(read_photo(path).pixels, str(path), name) for path in paths)
    return encode_references(photos, studio.restorer, studio.embedder, studio.detect_all, progress=progress)


def _groups(
    given: Sequence[Reference], by_hand: Mapping[Path, int], same: float
) -> list[tuple[int | None, list[Reference]]]:
    """Photographs of one person each, with the face that was named by hand."""
    groups: list[tuple[int | None, list[Reference]]] = []
    for face in sorted({face for face in by_hand.values() if face != NOBODY}):
        members = [reference for reference in given if by_hand.get(reference.path) == face]
        if members:
            groups.append((face, members))
    loose = [reference for reference in given if reference.path not in by_hand]
    for reference in (r for r in loose if r.seen):
        alike = [_alike(reference, members) for _, members in groups]
        if alike and max(alike) >= same:
            groups[alike.index(max(alike))][1].append(reference)
        else:
            groups.append((None, [reference]))
    # What shows several people says nothing by itself; beside photographs of one person alone it does.
    several = [reference for reference in loose if reference.several]
    return [(face, members + several) for face, members in groups]


def _alike(reference: Reference, members: Sequence[Reference]) -> float:
    known = [member.seen for member in members if member.seen]
    if not known or reference.seen is None:
        return -1.0
    mean = torch.stack([mean_embedding(person) for person in known]).mean(0)
    return float(torch.nn.functional.cosine_similarity(mean_embedding(reference.seen), mean, dim=0))


def _verdict(name: str, person: str, matches: Sequence[Match | None], alike: Tensor, same: float) -> Verdict:
    """What became of a photograph of a person, whose likeness to each face (F,) is given."""
    for face, found in enumerate(matches):
        if found and found.person == person:
            how = "as you said" if found.by_hand else f"likeness {found.score:.2f}; {same:.2f} is needed"
            return Verdict(name, True, f"Used for face {face + 1} ({how}).")
    if not len(alike):
        return Verdict(name, False, "Not used: there is no face to use it for.")
    best = int(alike.argmax())
    if alike[best] >= same:
        return Verdict(name, False, f"Not used: face {best + 1} is matched to another person's photographs.")
    text = (
        f"Not used: no face here is enough like it (the most alike is face {best + 1}, likeness {alike[best]:.2f}; "
        f"{same:.2f} is needed). If you know whose it is, say so below."
    )
    return Verdict(name, False, text)


def labelled_crops(crops: Crops, matches: Sequence[Match | None]) -> Crops:
    """The crops with faces that carry whom they show."""
    faces = [
        replace(face, person=found.person or "", by_hand=found.by_hand) if found else face
        for face, found in zip(crops.faces, matches, strict=True)
    ]
    return replace(crops, faces=tuple(faces))
