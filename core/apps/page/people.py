"""Reference photographs without names: sorted by who is on them, matched to the faces, and told in plain words.

A visitor drops good photographs in a heap. Those likely to be of one person are taken for that; a person is matched to
the likeliest face. Where recognition fails the visitor says which face a photograph belongs to, and that holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn import functional as F

from ...faces.detect import Detect, Detector
from ...faces.evidence import chance
from ...faces.identity import Embedder, Embedders
from ...files.images import Photo
from ...loading import Models
from ...records import CodebookRestorer, Crops, FaceQuality, Person, References
from ...references.encoding import encode_references
from ...references.likeness import mean_identity_embedding
from ...references.matching import ENOUGH, Match, labelled, match_faces
from ...references.views import ReferencePhoto
from .pictures import thumbnail

Progress = Callable[[], None]
NOBODY = -1  # in place of a face's number: the photograph is of nobody here
# The least chance at which nameless photographs are taken for one person's: two people taken for one do more harm.
JOINED = 0.8


@dataclass(frozen=True, eq=False)
class Studio:
    """The networks, loaded once for all visitors.

    Attributes:
        models: the built-in restorer and embedder, and a detector.
        detect: photographs → faces, one more than the page takes where there are more.
        detect_all: the same without leaving any out, for reference photographs.
        read: a file of a visitor's → photograph; raises OSError or PictureError.
    """

    models: Models
    detect: Detect
    detect_all: Detect
    read: Callable[[Path], Photo]

    @property
    def restorer(self) -> CodebookRestorer:
        """The restorer."""
        restorer = self.models.restorer.with_tokens
        assert restorer is not None, "the built-in restorer has a codebook"
        return restorer

    @property
    def detector(self) -> Detector:
        """The detector."""
        assert self.models.detector is not None, "the page loads one"
        return self.models.detector

    @property
    def embedder(self) -> Embedder:
        """The built-in embedder, by which people are matched, too."""
        return self.models.telling_apart.identity


@dataclass(frozen=True, eq=False)
class Reference:
    """A photograph that a visitor gave to take texture from.

    Attributes:
        name: of its file.
        path: of the visitor's own copy.
        seen: the face in it, as of a person of their own; None where it cannot be used by itself.
        thumbnail: of that face, or of the photograph, as the address of itself; None where it cannot be read.
        problem: why not, or None.
        several: whether it cannot because it shows several faces, and nothing says whose is meant.
        quality: what was measured on the face.
    """

    name: str
    path: Path
    seen: Person | None
    thumbnail: str | None
    problem: str | None
    several: bool = False
    quality: FaceQuality | None = None


@dataclass(frozen=True)
class Served:
    """A face for which a reference photograph is used.

    Attributes:
        face: its place, from 0.
        chance: that it shows that person.
        by_hand: whether it was said.
        thumbnail: of the face in the reference photograph, as the address of itself.
    """

    face: int
    chance: float
    by_hand: bool
    thumbnail: str

    @property
    def doubtful(self) -> bool:
        """Whether much speaks against what was said."""
        return self.by_hand and self.chance < ENOUGH


@dataclass(frozen=True)
class Verdict:
    """What became of a reference photograph.

    Attributes:
        name: of its file.
        serves: the faces for which it is used; none where it is not.
        left_out: whether it was said that it shows nobody here.
        problem: why it cannot be used by anybody, or None.
        doubt: why it counts for less, or None.
        likeliest: the face most like it, and how likely it is, where it serves none.
        taken: whether that face is matched to another person's photographs.
    """

    name: str
    serves: tuple[Served, ...] = ()
    left_out: bool = False
    problem: str | None = None
    doubt: str | None = None
    likeliest: tuple[int, float] | None = None
    taken: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is used, and there is no more to say."""
        return bool(self.serves) and not any(served.doubtful for served in self.serves) and self.doubt is None


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
        OSError, PictureError: as the studio's ``read``.
    """
    pixels = studio.read(path).pixels
    photo = ReferencePhoto(pixels, str(path), name)
    found = encode_references([photo], studio.restorer, studio.models.telling_apart, studio.detect_all)
    if found.people:
        seen = found.people[0]
        return Reference(name, path, seen, thumbnail(seen.faces[0]), None, quality=seen.qualities[0])
    several = len(studio.detect_all(pixels[None])) > 1
    return Reference(name, path, None, thumbnail(pixels), found.refused[0][1], several)


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
    doubted: dict[Path, str] = {}
    manual: dict[int, str | None] = {}
    named: list[tuple[Reference, str]] = []
    for number, (face, members) in enumerate(_groups(given, by_hand, studio.embedder), 1):
        name = f"person {number}"
        one = encoded(name, tuple(reference.path for reference in members))
        why = dict(one.refused)
        refused |= {Path(path): reason for path, reason in why.items()}
        doubted |= {Path(path): reason for path, reason in one.doubted}
        named += [(reference, name) for reference in members if str(reference.path) not in why]
        people += one.people
        if face is not None and one.people:
            manual[face] = name
    by = (studio.embedder.fingerprint, studio.embedder.fingerprint)
    references = References(tuple(people), studio.restorer.fingerprint, studio.embedder.name, by)
    matches: tuple[Match | None, ...] = (None,) * len(crops)
    if people:
        matches = match_faces(crops, references, studio.models.telling_apart, manual=manual)
        # Who was said to be one face is no other that is only alike.
        others = [
            n for n, found in enumerate(matches) if found and not found.by_hand and found.person in manual.values()
        ]
        if others:
            manual |= dict.fromkeys(others)
            matches = match_faces(crops, references, studio.models.telling_apart, manual=manual)
    embedders = studio.models.telling_apart
    verdicts = []
    for reference in given:
        shown = [person for person in people if (reference, person.name) in named]
        if by_hand.get(reference.path) == NOBODY:
            verdicts.append(Verdict(reference.name, left_out=True))
        elif not shown:
            problem = reference.problem or refused.get(reference.path) or "it cannot be read"
            verdicts.append(Verdict(reference.name, problem=problem))
        else:
            serves = tuple(served for person in shown for served in _served(person, reference, matches))
            found = Verdict(reference.name, serves, doubt=doubted.get(reference.path) if serves else None)
            verdicts.append(found if serves else _unused(found, shown[0], references, matches, crops, embedders))
    return Matched(references if people else None, matches, manual, tuple(named), tuple(verdicts))


def encode_group(name: str, paths: Sequence[Path], studio: Studio, progress: Progress | None = None) -> References:
    """Encode the photographs of one person together: they must agree with each other."""
    photos = (ReferencePhoto(studio.read(path).pixels, str(path), name) for path in paths)
    return encode_references(photos, studio.restorer, studio.models.telling_apart, studio.detect_all, progress=progress)


def _groups(
    given: Sequence[Reference], by_hand: Mapping[Path, int], embedder: Embedder
) -> list[tuple[int | None, list[Reference]]]:
    """Photographs of one person each, with the face that was named by hand."""
    groups: list[tuple[int | None, list[Reference]]] = []
    for face in sorted({face for face in by_hand.values() if face != NOBODY}):
        members = [reference for reference in given if by_hand.get(reference.path) == face]
        if members:
            groups.append((face, members))
    loose = [reference for reference in given if reference.path not in by_hand]
    for reference in (r for r in loose if r.seen):
        likely = [_chance(reference, members, embedder) for _, members in groups]
        if likely and max(likely) >= JOINED:
            groups[likely.index(max(likely))][1].append(reference)
        else:
            groups.append((None, [reference]))
    # What shows several people says nothing by itself; beside photographs of one person alone it does.
    several = [reference for reference in loose if reference.several]
    return [(face, members + several) for face, members in groups]


def _chance(reference: Reference, members: Sequence[Reference], embedder: Embedder) -> float:
    """The chance that a photograph shows the person of some others."""
    known = [member.seen for member in members if member.seen]
    if not known or reference.seen is None or reference.quality is None:
        return 0.0
    mean = torch.stack([mean_identity_embedding(person) for person in known]).mean(0)
    cosine = F.cosine_similarity(mean_identity_embedding(reference.seen), mean, dim=0)
    return chance(float(embedder.calibration.evidence(cosine[None, None], [reference.quality], [len(known)])))


def _served(person: Person, reference: Reference, matches: Sequence[Match | None]) -> list[Served]:
    """The faces for which a photograph of a person is used."""
    seen = thumbnail(person.faces[person.sources.index(str(reference.path))])
    return [
        Served(n, found.chance or 0.0, found.by_hand, seen)
        for n, found in enumerate(matches)
        if found and found.person == person.name
    ]


def _unused(
    verdict: Verdict,
    person: Person,
    references: References,
    matches: Sequence[Match | None],
    crops: Crops,
    embedders: Embedders,
) -> Verdict:
    """The verdict with which face is the likeliest, as if nobody else could be in the photograph."""
    if not len(crops):
        return verdict
    alone = match_faces(crops, replace(references, people=(person,)), embedders)
    chances = [found.chance or 0.0 for found in alone]
    best = chances.index(max(chances))
    other = matches[best]
    taken = bool(alone[best].person and other and other.person)
    return replace(verdict, likeliest=(best, chances[best]), taken=taken)


def labelled_crops(crops: Crops, matches: Sequence[Match | None]) -> Crops:
    """The crops with faces that carry whom they show, and how sure that is."""
    faces = [labelled(face, found) if found else face for face, found in zip(crops.faces, matches, strict=True)]
    return replace(crops, faces=tuple(faces))
