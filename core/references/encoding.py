"""Good photographs of people, encoded once: whose face is in each, whether it is good enough, and what restorers need.

A photograph that cannot be used is refused with a reason, and the others go on. Of each photograph of a person one
face is taken: the only one; else the one that the person's other photographs agree on; else the much largest one.

Whom the user names is believed: a photograph given under a name is that person's unless the evidence against it is
strong (:mod:`..faces.evidence`). One that is doubtful is used, counts for less, and is told of.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from ..faces.crop import aligned_crops, crop_faces
from ..faces.detect import Detect
from ..faces.evidence import Calibration, chance, log_odds
from ..faces.identity import Embedder, built_in
from ..faces.measure import measure_quality, shades
from ..faces.select import measure_faces
from ..files.images import write_atomically
from ..geometry import TEMPLATE_SIZE
from ..records import Face, FaceQuality, Lookup, Person, References, Restorer
from ..restorers.token_restorer import TokenRestorer

log = logging.getLogger(__name__)

Progress = Callable[[], None]
Refusal = tuple[str, str]  # source, reason

SMALLEST = 64  # [px] longer side of the face's box
# Damage (see :mod:`..faces.measure`) above which a photograph is refused: what a sharp face of 64 px measures (0.67 to
# 0.77), so that a large and blurred one must hold as much.
WORST = 0.8
# Shades (see :func:`..faces.measure.shades`) below which it is a drawing, or a copy that has lost as much. Of 3,403
# photographs of the train split 15 have less: engravings, drawings and prints in black and white alone.
SHADELESS = 4.0
MOST = 8  # photographs of a person that are used; more brought nothing in ReF-LDM (0.65 with five, 0.66 with eight)
MOST_FACES = 5  # of one photograph, the largest, that may be the person's
OUTSTANDING = 2.0  # how many times the area of the next face's box the largest must have to be taken for the one meant
# Before a photograph is looked at, whoever gave it under a name is believed by this much: evidence of 9 to 1 against it
# outweighs that.
GIVEN = log_odds(0.9)
REFUSED = 0.5  # chance below which it is not used
DOUBTFUL = 0.8  # and below which it counts for less
FORMAT = "resemblance references 3"
TENSORS = ("faces", "content", "quality", "identity", "embeddings")


@dataclass(frozen=True, eq=False)
class ReferencePhoto:
    """A photograph that shows a person as good as it gets.

    Attributes:
        pixels: (3,H,W) float RGB in [0,1].
        source: what it is called in reports.
        person: whom it shows, among others perhaps.
        weight: how much it counts beside the person's others, above 0.
    """

    pixels: Tensor
    source: str
    person: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"The weight of '{self.source}' was {self.weight}; expected a number above 0.")
        if not self.person:
            raise ValueError(f"'{self.source}' names no person; expected a name that is not empty.")


@dataclass(frozen=True, eq=False)
class View:
    """One face of one photograph: as found and measured, aligned (3,512,512), its embeddings (D,) and (E,), how much it
    counts, and how far it is trusted to show the person."""

    face: Face
    pixels: Tensor
    identity: Tensor
    embedding: Tensor
    source: str
    weight: float
    trust: float = 1.0

    @property
    def side(self) -> float:
        """The longer side of its box [px]."""
        x0, y0, x1, y1 = self.face.box
        return max(x1 - x0, y1 - y0)

    @property
    def damage(self) -> float:
        """How damaged it is, 0 to 1."""
        return self.quality.damage

    @property
    def quality(self) -> FaceQuality:
        """What was measured on it."""
        assert self.face.quality, "views are measured when they are made"
        return self.face.quality

    @property
    def fault(self) -> str | None:
        """Why it is not good enough, or None."""
        if self.side < SMALLEST:
            return f"its face is {self.side:.0f} px large; expected {SMALLEST} px or more"
        if self.damage > WORST:
            return f"its face is too damaged (damage {self.damage:.2f}); expected {WORST} or less"
        if (found := shades(self.pixels)) < SHADELESS:
            return f"it seems to be a drawing or a hard copy (shades {found:.1f}); expected {SHADELESS:g} or more"
        return None


def encode_references(
    photos: Iterable[ReferencePhoto],
    restorer: Restorer,
    embedder: Embedder,
    detect: Detect,
    onto: References | None = None,
    progress: Progress | None = None,
    reader: Embedder | None = None,
) -> References:
    """Find each person's own face in their photographs and encode it.

    Memory grows by the faces (3 MB each), not by the photographs: an iterator may read them one by one.

    Refused with a reason, and named in the log and in :attr:`..records.References.refused`, is a photograph

    - with no face, or whose face is smaller than 64 px, or too damaged (above 0.8), or drawn in few shades;
    - with several faces where no photograph of the person alone says whose is meant, and none of them has twice the
      area of the next; or where none of them is like the one in the person's other photographs;
    - that clearly shows another person than most of the others do (where there are as many of each, than the first);
    - beyond the best eight of a person (by weight and by how little damaged they are, then by size).

    A photograph that is doubtful counts for less, and is named in :attr:`..records.References.doubted`.

    A person with all photographs refused is not among the people. Whether a photograph is worse than the face that it
    is to serve, or the very same picture, is seen when texture is transferred (:mod:`.transfer`).

    Args:
        photos: in any order; those with one name are of one person.
        restorer: one with a codebook.
        embedder: what faces will be matched by.
        detect: photographs → faces. It should leave no faces out, or the largest one could seem to be alone.
        onto: references to add to, encoded by the same restorer and embedder. A person who is in there already is
            encoded anew with all photographs.
        reader: the built-in embedder, where it is at hand and is not `embedder`.
        progress: called before each photograph and between the network's blocks; what it raises ends the work.

    Raises:
        ValueError: the restorer has no tokens, `onto` was made by others, or a photograph is no such tensor.
    """
    if not isinstance(restorer, TokenRestorer):
        raise ValueError(
            f"'{restorer.name}' restores whole faces and cannot read references; expected a restorer with a codebook "
            "(the built-in one or CodeFormer)."
        )
    reader = built_in(embedder, reader)
    if onto:
        check_restorer(onto, restorer)
        check_embedder(onto, embedder, reader)
    seen: dict[str, list[list[View]]] = {}
    refused = list(onto.refused) if onto else []
    doubted = list(onto.doubted) if onto else []
    people = {person.name: person for person in onto.people} if onto else {}
    for photo in photos:
        if progress:
            progress()
        views = _views(photo, embedder, reader, detect)
        if views:
            seen.setdefault(photo.person, []).append(views)
        else:
            refused.append((photo.source, "no face was found in it; expected a photograph that shows one"))
    for name, photographs in seen.items():
        known = _known(people.pop(name)) if name in people else []
        again = {view.source for view in known}
        doubted = [(source, reason) for source, reason in doubted if source not in again]
        own, why, doubts = _own_faces(photographs, known, reader.calibration)
        refused += why
        doubted += doubts
        for source, reason in doubts:
            log.warning("The reference %s counts for less: %s.", source, reason)
        if own:
            made = person_from(
                name,
                torch.stack([view.pixels for view in own]),
                restorer,
                torch.stack([view.identity for view in own]),
                torch.stack([view.embedding for view in own]),
                [view.weight * view.trust for view in own],
                [view.source for view in own],
                progress,
            )
            given, qualities = tuple(view.weight for view in own), tuple(view.quality for view in own)
            people[name] = replace(made, given=given, qualities=qualities)
    for source, reason in refused[len(onto.refused) if onto else 0 :]:
        log.warning("The reference %s is not used: %s.", source, reason)
    by = (embedder.fingerprint, reader.fingerprint)
    return References(tuple(people.values()), restorer.fingerprint, embedder.name, by, tuple(refused), tuple(doubted))


def qualities_of(person: Person) -> Sequence[FaceQuality]:
    """What was measured on a person's photographs; measured now where it was not."""
    return person.qualities or measure_quality(aligned_crops(person.faces))


def check_restorer(references: References, restorer: Restorer) -> None:
    """Raise ValueError unless the references were encoded by this restorer."""
    if references.restorer != restorer.fingerprint:
        raise ValueError(
            f"The references were encoded by the restorer {references.restorer}, but this is '{restorer.name}' "
            f"{restorer.fingerprint}; expected the same one. Encode the photographs again with it."
        )


def check_embedder(references: References, embedder: Embedder, reader: Embedder | None = None) -> None:
    """Raise ValueError unless the references were embedded by this embedder, and by this built-in one where given."""
    if references.embedder != embedder.name:
        raise ValueError(
            f"The references were embedded by '{references.embedder}', but this is '{embedder.name}'; expected the "
            "same one. Choose it, or encode the photographs again."
        )
    for made, used in zip(references.embedded_by, (embedder, reader), strict=True):
        if used and made != used.fingerprint:
            raise ValueError(
                f"The references were embedded by weights {made} of the embedder '{used.name}', but these are "
                f"{used.fingerprint}; expected the same ones. Encode the photographs again."
            )


def save_references(references: References, path: Path) -> None:
    """Write references to a .safetensors file, whole or not at all; they come back bit for bit.

    Raises:
        OSError: the file could not be written.
    """
    tensors: dict[str, Tensor] = {}
    for number, person in enumerate(references.people):
        tensors |= {f"{number}.{name}": getattr(person, name).contiguous() for name in TENSORS}
        tensors |= {f"{number}.skips.{side}": x.contiguous() for side, x in person.skips.items()}
    about = {
        "format": FORMAT,
        "restorer": references.restorer,
        "embedder": references.embedder,
        "embedded_by": references.embedded_by,
        "refused": references.refused,
        "doubted": references.doubted,
        "people": [
            {
                "name": person.name,
                "weights": person.weights,
                "given": person.given,
                "sources": person.sources,
                "qualities": [asdict(quality) for quality in person.qualities],
                "sides": list(person.skips),
            }
            for person in references.people
        ],
    }
    write_atomically(path, save(tensors, {"references": json.dumps(about)}))


def load_references(path: Path) -> References:
    """Read what :func:`save_references` wrote.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it holds something else.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["references"])
            if about["format"] != FORMAT:
                raise ValueError(
                    f"'{path}' holds '{about['format']}'; expected '{FORMAT}'. Encode the photographs again."
                )
            people = []
            for number, person in enumerate(about["people"]):
                tensors = {name: file.get_tensor(f"{number}.{name}") for name in TENSORS}
                skips = {side: file.get_tensor(f"{number}.skips.{side}") for side in person["sides"]}
                lists: dict[str, Any] = {key: tuple(person[key]) for key in ("weights", "sources", "given")}
                qualities = tuple(FaceQuality(**quality) for quality in person["qualities"])
                people.append(Person(person["name"], skips=skips, qualities=qualities, **lists, **tensors))
    except (SafetensorError, KeyError) as error:
        raise ValueError(
            f"'{path}' holds no references ({error}); expected a file that was saved by this program."
        ) from error
    refused, doubted = (tuple((source, reason) for source, reason in about[key]) for key in ("refused", "doubted"))
    embedded_by = (about["embedded_by"][0], about["embedded_by"][1])
    return References(tuple(people), about["restorer"], about["embedder"], embedded_by, refused, doubted)


def _views(photo: ReferencePhoto, embedder: Embedder, reader: Embedder, detect: Detect) -> list[View]:
    """The largest faces of a photograph, largest first."""
    batch = photo.pixels[None]
    found = sorted(detect(batch), key=_area, reverse=True)[:MOST_FACES]
    crops = crop_faces(batch, measure_faces(batch, found))
    identity = reader.embed(crops.pixels)
    embeddings = identity if embedder is reader else embedder.embed(crops.pixels)
    rows = zip(crops.faces, crops.pixels, identity, embeddings, strict=True)
    views = [View(*row, photo.source, photo.weight) for row in rows]
    return sorted(views, key=lambda view: -_area(view.face))


def _known(person: Person) -> list[View]:
    """The photographs that a person has already."""
    faces = [
        replace(f, quality=q) for f, q in zip(aligned_crops(person.faces).faces, qualities_of(person), strict=True)
    ]
    given = person.given or person.weights
    rows = zip(faces, person.faces, person.identity, person.embeddings, person.sources, given, strict=True)
    return [View(*row) for row in rows]


def _own_faces(
    photographs: list[list[View]], known: list[View], calibration: Calibration
) -> tuple[list[View], list[Refusal], list[Refusal]]:
    """A person's own face in each photograph, the best of them; which are refused, which count for less, and why."""
    refused: list[Refusal] = []
    alone = known + [views[0] for views in photographs if len(views) == 1 and not views[0].fault]
    kept = list(known)
    for views in photographs:
        own = views[0]
        if len(views) > 1 and alone:
            own = max(views, key=lambda view: _evidence(view, alone, calibration))
            sure = chance(_evidence(own, alone, calibration))
            if sure < 0.5:
                reason = f"none of its {len(views)} faces is like the one in the other photographs of this person"
                refused.append((own.source, f"{reason} (the likeliest: {sure:.0%})"))
                continue
        elif len(views) > 1 and _area(own.face) < OUTSTANDING * _area(views[1].face):
            reason = f"it shows {len(views)} faces and nothing says whose is meant; crop it, or add one of them alone"
            refused.append((own.source, reason))
            continue
        if own.fault:
            refused.append((own.source, own.fault))
        else:
            kept.append(own)
    kept, strangers = one_person(kept, calibration)
    refused += strangers
    best = sorted(kept, key=lambda view: (-view.weight * (1 - view.damage), -view.side))
    refused += [(view.source, f"the {MOST} best of {len(kept)} are used") for view in best[MOST:]]
    kept = [view for view in kept if view in best[:MOST]]
    doubted: list[Refusal] = []
    result = []
    for n, view in enumerate(kept):
        sure = chance(_evidence(view, kept[:n] + kept[n + 1 :], calibration) + GIVEN) if len(kept) > 1 else 1.0
        if sure < DOUBTFUL:
            doubted.append((view.source, f"it may show somebody else than the others ({sure:.0%} sure)"))
            view = replace(view, trust=sure)
        result.append(view)
    return result, refused, doubted


def one_person(views: list[View], calibration: Calibration) -> tuple[list[View], list[Refusal]]:
    """The photographs of most of a name's people, and why the others are refused.

    Photographs are joined, the likeliest first, as long as what is joined is likelier one person than not. Of the
    groups that are left the one that counts most is taken, of two that count the same the first.
    """
    groups = {n: [view] for n, view in enumerate(views)}

    def odds(a: int, b: int) -> float:
        looks = torch.cat(
            [_evidences(groups[a], groups[b], calibration), _evidences(groups[b], groups[a], calibration)]
        )
        return float(looks.mean())

    joined = {(a, b): odds(a, b) for a in groups for b in groups if a < b}
    while joined:
        (a, b), best = max(joined.items(), key=lambda item: (item[1], (-item[0][0], -item[0][1])))
        if chance(best + GIVEN) < REFUSED:
            break
        groups[a] += groups.pop(b)
        joined = {pair: value for pair, value in joined.items() if not {a, b} & set(pair)}
        joined |= {(min(a, c), max(a, c)): odds(a, c) for c in groups if c != a}
    ranked = sorted(groups.values(), key=lambda group: -sum(view.weight for view in group))  # of equals the first
    refused = []
    for group in ranked[1:]:
        for view in group:
            sure = chance(_evidence(view, ranked[0], calibration) + GIVEN)
            others = "the others" if len(ranked[0]) > len(group) else "the first one"
            reason = f"it shows somebody else than {others} ({sure:.0%} likely to be the same)"
            refused.append((view.source, f"{reason}; if not, give it a name of its own"))
    return [view for view in views if ranked and any(view is kept for kept in ranked[0])], refused


def person_from(
    name: str,
    faces: Tensor,
    restorer: TokenRestorer,
    identity: Tensor,
    embeddings: Tensor,
    weights: Sequence[float],
    sources: Sequence[str],
    progress: Progress | None = None,
) -> Person:
    """A person from aligned photographs (R,3,512,512), which the restorer encodes; the rest as in :class:`Person`."""
    content, quality, _, _, skips = restorer.encode(faces, Lookup(), progress)
    kept = {side: x for side, x in skips.items() if side != TEMPLATE_SIZE}
    return Person(name, faces, content, quality, kept, identity, embeddings, tuple(weights), tuple(sources))


def _evidence(view: View, others: Sequence[View], calibration: Calibration) -> float:
    """Evidence that a photograph shows the person of some others."""
    return float(_evidences([view], others, calibration)[0])


def _evidences(views: Sequence[View], others: Sequence[View], calibration: Calibration) -> Tensor:
    """The same of several (N,); by the built-in embedder, which is calibrated for all kinds of faces."""
    mean = torch.stack([other.weight * other.identity for other in others]).sum(0)
    cosines = F.cosine_similarity(torch.stack([view.identity for view in views]), mean[None], dim=1)
    return calibration.evidence(cosines[:, None], [view.quality for view in views], [len(others)])[:, 0]


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)
