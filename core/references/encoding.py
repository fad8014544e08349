"""Good photographs of people, encoded once: whose face is in each, whether it is good enough, and what restorers need.

A photograph that cannot be used is refused with a reason, and the others go on. Of each photograph of a person one
face is taken: the only one; else the one that the person's other photographs agree on; else the much largest one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..faces.detect import Detect
from ..faces.identity import Embedder, Embedders
from ..geometry import TEMPLATE_SIZE
from ..records import CodebookRestorer, Lookup, Person, References, Restorer
from .sorting import own_faces
from .views import ReferencePhoto, View, known_views, views_of

log = logging.getLogger(__name__)

Progress = Callable[[], None]


def encode_references(
    photos: Iterable[ReferencePhoto],
    restorer: Restorer,
    embedders: Embedders,
    detect: Detect,
    onto: References | None = None,
    progress: Progress | None = None,
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
        embedders: what faces will be matched by.
        detect: photographs → faces. It should leave no faces out, or the largest one could seem to be alone.
        onto: references to add to, encoded by the same restorer and embedders. A person who is in there already is
            encoded anew with all photographs.
        progress: called before each photograph and between the network's blocks; what it raises ends the work.

    Raises:
        ValueError: the restorer has no tokens, `onto` was made by others, or a photograph is no such tensor.

    Example:
        >>> from functools import partial
        >>> from pathlib import Path
        >>> from resemblance.core.faces.detect import detect_faces
        >>> from resemblance.core.files.images import read_photo
        >>> from resemblance.core.loading import load_models
        >>> models = load_models(detector="built-in")
        >>> detect = partial(detect_faces, backend=models.detector)
        >>> paths = [Path(f"nodes/examples/woman_reference_{n}.jpg") for n in (1, 2)]
        >>> photos = [ReferencePhoto(read_photo(path).pixels, path.name, "anna") for path in paths]
        >>> references = encode_references(photos, models.restorer, models.telling_apart, detect)
        >>> [(person.name, len(person)) for person in references.people], references.refused
        ([('anna', 2)], ())
    """
    able = restorer.with_tokens
    if able is None:
        raise ValueError(
            f"'{restorer.name}' restores whole faces and cannot read references; expected a restorer with a codebook "
            "(the built-in one or CodeFormer)."
        )
    if onto:
        check_restorer(onto, restorer)
        check_embedders(onto, embedders)
    seen: dict[str, list[list[View]]] = {}
    refused = list(onto.refused) if onto else []
    doubted = list(onto.doubted) if onto else []
    people = {person.name: person for person in onto.people} if onto else {}
    for photo in photos:
        if progress:
            progress()
        views = views_of(photo, embedders, detect)
        if views:
            seen.setdefault(photo.person, []).append(views)
        else:
            refused.append((photo.source, "no face was found in it; expected a photograph that shows one"))
    for name, photographs in seen.items():
        known = known_views(people.pop(name)) if name in people else []
        again = {view.source for view in known}
        doubted = [(source, reason) for source, reason in doubted if source not in again]
        own, why, doubts = own_faces(photographs, known, embedders.identity.calibration)
        refused += why
        doubted += doubts
        for source, reason in doubts:
            log.warning("The reference %s counts for less: %s.", source, reason)
        if own:
            made = person_from(
                name,
                torch.stack([view.pixels for view in own]),
                able,
                torch.stack([view.identity_embedding for view in own]),
                torch.stack([view.matching_embedding for view in own]),
                [view.weight * view.identity_confidence for view in own],
                [view.source for view in own],
                progress,
            )
            given, qualities = tuple(view.weight for view in own), tuple(view.quality for view in own)
            people[name] = replace(made, given=given, qualities=qualities)
    for source, reason in refused[len(onto.refused) if onto else 0 :]:
        log.warning("The reference %s is not used: %s.", source, reason)
    name, by = embedders.matching.name, (embedders.matching.fingerprint, embedders.identity.fingerprint)
    return References(tuple(people.values()), restorer.fingerprint, name, by, tuple(refused), tuple(doubted))


def check_restorer(references: References, restorer: Restorer) -> None:
    """Raise ValueError unless the references were encoded by this restorer."""
    if references.restorer != restorer.fingerprint:
        raise ValueError(
            f"The references were encoded by the restorer {references.restorer}, but this is '{restorer.name}' "
            f"{restorer.fingerprint}; expected the same one. Encode the photographs again with it."
        )


def check_embedders(references: References, embedders: Embedders) -> None:
    """Raise ValueError unless the references were embedded by these embedders."""
    check_embedder(references, embedders.matching)
    _check_weights(references.embedded_by[1], embedders.identity)


def check_embedder(references: References, matching: Embedder) -> None:
    """Raise ValueError unless the references are matched by this embedder."""
    if references.embedder != matching.name:
        raise ValueError(
            f"The references were embedded by '{references.embedder}', but this is '{matching.name}'; expected the "
            "same one. Choose it, or encode the photographs again."
        )
    _check_weights(references.embedded_by[0], matching)


def _check_weights(made: str, embedder: Embedder) -> None:
    if made != embedder.fingerprint:
        raise ValueError(
            f"The references were embedded by weights {made} of the embedder '{embedder.name}', but these are "
            f"{embedder.fingerprint}; expected the same ones. Encode the photographs again."
        )


def person_from(
    name: str,
    faces: Tensor,
    restorer: CodebookRestorer,
    identity: Tensor,
    embeddings: Tensor,
    weights: Sequence[float],
    sources: Sequence[str],
    progress: Progress | None = None,
) -> Person:
    """A person from aligned photographs (R,3,512,512), which the restorer encodes; the rest as in :class:`Person`."""
    content, code_latent, _, _, skips = restorer.encode(faces, Lookup(), progress)
    kept = {side: x for side, x in skips.items() if side != TEMPLATE_SIZE}
    return Person(name, faces, content, code_latent, kept, identity, embeddings, tuple(weights), tuple(sources))
