"""Good photographs of people, encoded once: whose face is in each, whether it is good enough, and what restorers need.

A photograph that cannot be used is refused with a reason, and the others go on. Of each photograph of a person one
face is taken: the only one; else the one that the person's other photographs agree on; else the much largest one.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from .crop import aligned_crops, crop_faces
from .detect import Detect
from .geometry import TEMPLATE_SIZE
from .identity import Embedder, load_embedder
from .images import write_atomically
from .measure import measure_quality
from .records import Face, Lookup, Person, References
from .restorers import Restorer
from .select import measure_faces
from .token_restorer import TokenRestorer

log = logging.getLogger(__name__)

Progress = Callable[[], None]
Refusal = tuple[str, str]  # source, reason

SMALLEST = 64  # [px] longer side of the face's box
# Damage (see :func:`.measure.damage`) above which a photograph is refused: what a sharp face of 64 px measures (0.67 to
# 0.77), so that a large and blurred one must hold as much.
WORST = 0.8
MOST = 8  # photographs of a person that are used; more brought nothing in ReF-LDM (0.65 with five, 0.66 with eight)
MOST_FACES = 5  # of one photograph, the largest, that may be the person's
OUTSTANDING = 2.0  # how many times the area of the next face's box the largest must have to be taken for the one meant
FORMAT = "resemblance references 1"
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
class _View:
    """One face of one photograph: as found and measured, aligned (3,512,512), and its embedding (E,)."""

    face: Face
    pixels: Tensor
    embedding: Tensor
    source: str
    weight: float

    @property
    def side(self) -> float:
        x0, y0, x1, y1 = self.face.box
        return max(x1 - x0, y1 - y0)

    @property
    def damage(self) -> float:
        return self.face.quality.damage if self.face.quality else 1.0

    @property
    def fault(self) -> str | None:
        """Why it is not good enough, or None."""
        if self.side < SMALLEST:
            return f"its face is {self.side:.0f} px large; expected {SMALLEST} px or more"
        if self.damage > WORST:
            return f"its face is too damaged (damage {self.damage:.2f}); expected {WORST} or less"
        return None


def encode_references(
    photos: Iterable[ReferencePhoto],
    restorer: Restorer,
    embedder: Embedder,
    detect: Detect,
    onto: References | None = None,
    progress: Progress | None = None,
) -> References:
    """Find each person's own face in their photographs and encode it.

    Memory grows by the faces (3 MB each), not by the photographs: an iterator may read them one by one.

    Refused with a reason, and named in the log and in :attr:`.records.References.refused`, is a photograph

    - with no face, or whose face is smaller than 64 px, or too damaged (above 0.8);
    - with several faces where no photograph of the person alone says whose is meant, and none of them has twice the
      area of the next; or where none of them is like the one in the person's other photographs;
    - of another person than the others agree on (of two that disagree, the later one);
    - beyond the best eight of a person (by weight and by how little damaged they are, then by size).

    A person with all photographs refused is not among the people. Whether a photograph is worse than the face that it
    is to serve, or the very same picture, is seen when texture is transferred (:mod:`.transfer`).

    Args:
        photos: in any order; those with one name are of one person.
        restorer: one with a codebook.
        embedder: what faces will be matched by.
        detect: photographs → faces. It should leave no faces out, or the largest one could seem to be alone.
        onto: references to add to, encoded by the same restorer and embedder. A person who is in there already is
            encoded anew with all photographs.
        progress: called before each photograph and between the network's blocks; what it raises ends the work.

    Raises:
        ValueError: the restorer has no tokens, `onto` was made by others, or a photograph is no such tensor.
    """
    if not isinstance(restorer, TokenRestorer):
        raise ValueError(
            f"'{restorer.name}' restores whole faces and cannot read references; expected a restorer with a codebook "
            "(the built-in one or CodeFormer)."
        )
    if onto:
        check_restorer(onto, restorer)
        check_embedder(onto, embedder)
    seen: dict[str, list[list[_View]]] = {}
    refused = list(onto.refused) if onto else []
    people = {person.name: person for person in onto.people} if onto else {}
    for photo in photos:
        if progress:
            progress()
        views = _views(photo, embedder, detect)
        if views:
            seen.setdefault(photo.person, []).append(views)
        else:
            refused.append((photo.source, "no face was found in it; expected a photograph that shows one"))
    reader = embedder if embedder.name == "built-in" else load_embedder("built-in")
    for name, photographs in seen.items():
        known = _known(people.pop(name)) if name in people else []
        own, why = _own_faces(photographs, known, embedder.same)
        refused += why
        if own:
            faces = torch.stack([view.pixels for view in own])
            people[name] = person_from(
                name,
                faces,
                restorer,
                reader.embed(faces),
                torch.stack([view.embedding for view in own]),
                [view.weight for view in own],
                [view.source for view in own],
                progress,
            )
    for source, reason in refused[len(onto.refused) if onto else 0 :]:
        log.warning("The reference %s is not used: %s.", source, reason)
    return References(tuple(people.values()), restorer.fingerprint, embedder.name, tuple(refused))


def check_restorer(references: References, restorer: Restorer) -> None:
    """Raise ValueError unless the references were encoded by this restorer."""
    if references.restorer != restorer.fingerprint:
        raise ValueError(
            f"The references were encoded by the restorer {references.restorer}, but this is '{restorer.name}' "
            f"{restorer.fingerprint}; expected the same one. Encode the photographs again with it."
        )


def check_embedder(references: References, embedder: Embedder) -> None:
    """Raise ValueError unless the references were embedded by this embedder."""
    if references.embedder != embedder.name:
        raise ValueError(
            f"The references were embedded by '{references.embedder}', but this is '{embedder.name}'; expected the "
            "same one. Choose it, or encode the photographs again."
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
        "refused": references.refused,
        "people": [
            {"name": p.name, "weights": p.weights, "sources": p.sources, "sides": list(p.skips)}
            for p in references.people
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
                weights, sources = tuple(person["weights"]), tuple(person["sources"])
                people.append(Person(person["name"], skips=skips, weights=weights, sources=sources, **tensors))
    except (SafetensorError, KeyError) as error:
        raise ValueError(
            f"'{path}' holds no references ({error}); expected a file that was saved by this program."
        ) from error
    refused = tuple((source, reason) for source, reason in about["refused"])
    return References(tuple(people), about["restorer"], about["embedder"], refused)


def _views(photo: ReferencePhoto, embedder: Embedder, detect: Detect) -> list[_View]:
    """The largest faces of a photograph, largest first."""
    batch = photo.pixels[None]
    found = sorted(detect(batch), key=_area, reverse=True)[:MOST_FACES]
    crops = crop_faces(batch, measure_faces(batch, found))
    pairs = zip(crops.faces, crops.pixels, embedder.embed(crops.pixels), strict=True)
    views = [_View(face, pixels, embedding, photo.source, photo.weight) for face, pixels, embedding in pairs]
    return sorted(views, key=lambda view: -_area(view.face))


def _known(person: Person) -> list[_View]:
    """The photographs that a person has already."""
    crops = aligned_crops(person.faces)
    faces = [replace(f, quality=q) for f, q in zip(crops.faces, measure_quality(crops), strict=True)]
    rows = zip(faces, person.faces, person.embeddings, person.sources, person.weights, strict=True)
    return [_View(*row) for row in rows]


def _own_faces(photographs: list[list[_View]], known: list[_View], same: float) -> tuple[list[_View], list[Refusal]]:
    """A person's own face in each photograph, the best of them, and which photographs are refused and why."""
    refused: list[Refusal] = []
    alone = known + [views[0] for views in photographs if len(views) == 1 and not views[0].fault]
    kept = list(known)
    for views in photographs:
        own = views[0]
        if len(views) > 1 and alone:
            own = max(views, key=lambda view: _alike(view, alone))
            if _alike(own, alone) < same:
                reason = f"none of its {len(views)} faces is like the one in the other photographs of this person"
                refused.append((own.source, reason))
                continue
        elif len(views) > 1 and _area(own.face) < OUTSTANDING * _area(views[1].face):
            reason = f"it shows {len(views)} faces and nothing says whose is meant; crop it, or add one of them alone"
            refused.append((own.source, reason))
            continue
        if own.fault:
            refused.append((own.source, own.fault))
        else:
            kept.append(own)
    while len(kept) > 1:
        agree = [round(_alike(view, kept[:n] + kept[n + 1 :]), 4) for n, view in enumerate(kept)]
        worst = min(range(len(kept)), key=lambda n: (agree[n], -n))
        if agree[worst] >= same:
            break
        reason = f"it shows another person than the others (cosine {agree[worst]:.2f}, needed {same:.2f})"
        refused.append((kept.pop(worst).source, reason))
    best = sorted(kept, key=lambda view: (-view.weight * (1 - view.damage), -view.side))
    refused += [(view.source, f"the {MOST} best of {len(kept)} are used") for view in best[MOST:]]
    return [view for view in kept if view in best[:MOST]], refused


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


def _alike(view: _View, others: Sequence[_View]) -> float:
    """Cosine to the mean of some others."""
    mean = torch.stack([other.weight * other.embedding for other in others]).sum(0)
    return float(F.cosine_similarity(view.embedding, mean, dim=0))


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)
