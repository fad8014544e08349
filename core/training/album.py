"""The faces of a folder of photographs, by person: what a restorer is judged on.

A folder has one of these layouts:

- a folder for each person, as ``resemblance restore --reference`` takes them;
- ``manifest.csv`` with the columns path, person and split;
- ``photographs.csv``, faces that were aligned before (:mod:`.photographs`).

Of each photograph the largest face is taken. One that would have to be enlarged much to fill the template is no truth
to compare with; it still serves as a reference.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from ..faces.crop import crop_faces
from ..faces.detect import Detect
from ..files.images import FORMATS, PictureError, read_photo
from ..geometry import TEMPLATE_SIZE, scale_of
from .photographs import FACE, MAX_SCALE, read_portraits
from .tables import half_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """Which photographs of a folder to take.

    Attributes:
        split: of a manifest, such as ``"val"``.
        half: ``"odd"`` or ``"even"`` places of the list of people, or ``"all"``.
        only: photographs whose paths begin with this folder; None is all.
        limit: at most so many photographs, the first ones by person; None is all.
        truth: how wide [px] a face must be to be the truth at 512 px.
    """

    split: str = "val"
    half: str = "all"
    only: str | None = None
    limit: int | None = None
    truth: float = FACE * TEMPLATE_SIZE / MAX_SCALE


@dataclass(frozen=True)
class Entry:
    """A photograph: its path in the folder, whom it shows, its split, and its row among faces aligned before."""

    path: str
    person: str
    split: str | None = None
    row: int = 0


@dataclass(frozen=True, eq=False)
class Album:
    """Aligned faces, ordered by person and path.

    Attributes:
        faces: N of (512,512,3) uint8 RGB.
        names: N paths within the folder.
        people: N persons.
        scales: N, px of the template for one px of the photograph.
        truth: how wide [px] a face must be to be the truth.
        faults: (path, reason) of photographs that are not among them.
    """

    faces: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    people: tuple[str, ...]
    scales: tuple[float, ...]
    truth: float
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def judged(self) -> list[int]:
        """Numbers of the faces that are truth at full size."""
        return [n for n, scale in enumerate(self.scales) if FACE * TEMPLATE_SIZE / scale >= self.truth - 1e-6]


def read_album(data: Path, selection: Selection, detect: Detect) -> Album:
    """Find and align the faces of a folder.

    Args:
        data: the folder, in one of the layouts above.
        selection: which photographs.
        detect: photographs → faces.

    Raises:
        OSError: the folder or its list cannot be read.
        ValueError: it has another layout, or nothing in it fits the selection.
    """
    if not data.is_dir():
        raise FileNotFoundError(f"{data} is no folder; expected one with photographs.")
    if (data / "photographs.csv").is_file():
        faces, portraits = read_portraits(data)
        entries = _select([Entry(p.path, p.person, p.split, p.row) for p in portraits], selection, data)
        scales = tuple(portraits[e.row].scale for e in entries)
        return replace(_named(entries, selection), faces=tuple(np.array(faces[e.row]) for e in entries), scales=scales)
    listed = data / "manifest.csv"
    entries = _select(_listed(listed) if listed.is_file() else _folders(data), selection, data)
    kept: list[Entry] = []
    aligned: list[np.ndarray] = []
    enlarged: list[float] = []
    faults: list[tuple[str, str]] = []
    for n, entry in enumerate(entries):
        if n % 20 == 19:
            log.info("Faces of %d of %d photographs found", n + 1, len(entries))
        try:
            photo = read_photo(data / entry.path).pixels[None]
            found = detect(photo)
            if not found:
                raise PictureError("no face was found in it")
            largest = max(found, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
            crops = crop_faces(photo, [largest])
        except (OSError, ValueError) as error:
            log.warning("%s is left out: %s", entry.path, error)
            faults.append((entry.path, str(error)))
            continue
        kept.append(entry)
        aligned.append((crops.pixels[0].permute(1, 2, 0) * 255).round().byte().numpy())
        enlarged.append(float(scale_of(crops.affines[0])))
    return replace(_named(kept, selection), faces=tuple(aligned), scales=tuple(enlarged), faults=tuple(faults))


def references_for(people: tuple[str, ...]) -> dict[str, list[list[int]]]:
    """For each photograph the numbers of those to restore it by.

    ``one``, ``three`` and ``five`` are other photographs of the person, the next ones in a circle, as many as there
    are; ``wrong`` is as many as ``five`` of the next person's, from the place among theirs that the face has among the
    person's own.
    """
    own: dict[str, list[int]] = {}
    for n, person in enumerate(people):
        own.setdefault(person, []).append(n)
    order = list(own)
    chosen: dict[str, list[list[int]]] = {"one": [], "three": [], "five": [], "wrong": []}
    for n, person in enumerate(people):
        mine = own[person]
        place = mine.index(n)
        others = mine[place + 1 :] + mine[:place]
        stranger = own[order[(order.index(person) + 1) % len(order)]]
        chosen["one"].append(others[:1])
        chosen["three"].append(others[:3])
        chosen["five"].append(others[:5])
        circle = [stranger[(place + 1 + k) % len(stranger)] for k in range(min(len(stranger), len(others[:5])))]
        chosen["wrong"].append([] if len(order) == 1 else circle)
    return chosen


def lookalikes_for(people: tuple[str, ...], embeddings: Tensor, own: list[list[int]]) -> list[list[int]]:
    """For each photograph as many as its `own` references of the other person whose photographs are the most like it.

    Args:
        people: whom each photograph shows.
        embeddings: (N,D) of length 1.
        own: for each photograph the numbers of its references.
    """
    person = np.array(people)
    scores = (embeddings @ embeddings.T).cpu().numpy()
    chosen: list[list[int]] = []
    for n, given in enumerate(own):
        others = [p for p in dict.fromkeys(people) if p != people[n]]
        if not others:
            chosen.append([])
            continue
        nearest = max(others, key=lambda p: float(scores[n, person == p].mean()))
        rows = np.flatnonzero(person == nearest)
        chosen.append(rows[np.argsort(-scores[n, rows])][: len(given)].tolist())
    return chosen


def _named(entries: list[Entry], selection: Selection) -> Album:
    return Album((), tuple(e.path for e in entries), tuple(e.person for e in entries), (), selection.truth)


def _listed(path: Path) -> list[Entry]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return [Entry(row["path"], row["person"], row["split"]) for row in rows]
    except KeyError as error:
        raise ValueError(f"{path} has no column {error}; expected path, person and split.") from error


def _folders(data: Path) -> list[Entry]:
    found = [
        Entry(f"{folder.name}/{file.name}", folder.name)
        for folder in data.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
        for file in folder.iterdir()
        if file.suffix.lower() in FORMATS and not file.name.startswith(".")
    ]
    if not found:
        raise ValueError(
            f"{data} holds neither manifest.csv nor a folder with pictures; expected a folder for each person."
        )
    return found


def _select(entries: list[Entry], selection: Selection, data: Path) -> list[Entry]:
    chosen = [e for e in entries if e.split in (None, selection.split)]
    if selection.only:
        chosen = [e for e in chosen if Path(selection.only) in Path(e.path).parents]
    if selection.half != "all":
        wanted = half_of((e.person for e in chosen), selection.half)
        chosen = [e for e in chosen if e.person in wanted]
    chosen = sorted(chosen, key=lambda e: (e.person, e.path))[: selection.limit]
    if not chosen:
        where = f" below '{selection.only}'" if selection.only else ""
        raise ValueError(
            f"None of the {len(entries)} photographs of {data} lies in the split '{selection.split}' and the half "
            f"'{selection.half}'{where}; choose others."
        )
    return chosen
