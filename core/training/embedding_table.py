"""How well the embedding network recovers identities and tells people apart, beside its teacher.

On people it was not trained on: London's validation people (two photographs each), the generated people held out (with
their other photographs) and, as strangers to all of them, the other validation photographs. A face is damaged, the
other photographs are clean. The threshold is the least that lets one in a hundred strangers of damaged faces pass on
the people in odd places, severe damage included; its errors are those of the people in even places.

    python -m resemblance.core.training.embedding_table --work WORK
"""

from __future__ import annotations

import argparse
import logging
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..identity import WEIGHTS, BuiltinEmbedder
from .data import HELD_OUT, to_tensor
from .degradation import degrade
from .faces import open_faces
from .judges import Recognizer
from .people import PHOTOGRAPHS
from .photographs import read_portraits

log = logging.getLogger(__name__)

DAMAGES = ("clean", "moderate", "severe")
KINDS = ("london", "generated", "strangers", "lookalike")
PASSING = 0.01  # share of strangers
Embed = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Photo:
    """A face (512,512,3) uint8, its name, whose it is and where it comes from."""

    face: np.ndarray
    name: str
    person: str
    collection: str


def photographs(work: Path) -> list[Photo]:
    """All validation faces, ordered by person."""
    faces, portraits = read_portraits(work)
    photos = [Photo(faces[p.row], p.path, p.person, p.collection) for p in portraits if p.split == "val"]
    path = work / "generated_512.u8"
    people = open_faces(path, path.stat().st_size // (512 * 512 * 3), 512)
    others = open_faces(work / "references_512.u8", PHOTOGRAPHS * len(people), 512)
    for i in range(len(people) - HELD_OUT, len(people)):
        rows = [people[i], *others[PHOTOGRAPHS * i : PHOTOGRAPHS * (i + 1)]]
        photos += [
            Photo(face, f"generated-{i}-{j}", f"generated-{i}", "generated")
            for j, face in enumerate(rows)
            if face[::64].any()
        ]
    return sorted(photos, key=lambda photo: (photo.person, photo.name))


@torch.no_grad()
def embed_all(photos: list[Photo], embedders: dict[str, Embed]) -> dict[str, dict[str, Tensor]]:
    """{embedder: {damage: (N,D)}}; the damage of a face is its own, whatever else is in the list."""
    result: dict[str, dict[str, list[Tensor]]] = {name: {damage: [] for damage in DAMAGES} for name in embedders}
    for photo in photos:
        for damage in DAMAGES:
            rng = np.random.default_rng(zlib.crc32(f"{photo.name} {damage}".encode()))
            face = np.array(photo.face) if damage == "clean" else degrade(np.array(photo.face), damage, rng)
            for name, embed in embedders.items():
                result[name][damage].append(embed(to_tensor([face])))
    return {name: {d: torch.cat(rows) for d, rows in damages.items()} for name, damages in result.items()}


def told_apart(damaged: Tensor, clean: Tensor, photos: list[Photo], nearest: Tensor, half: int) -> dict[str, Tensor]:
    """Cosines of damaged faces of one half of the people to clean photographs.

    Args:
        damaged, clean: (N,D) embeddings.
        photos: N.
        nearest: (N,) which photograph of another person is the most like each.
        half: 0 for the people in even places, 1 for odd.

    Returns:
        Cosines to the same person's other photographs by collection, to strangers' of the same half and to the most
        alike (``lookalike``).
    """
    names = sorted({photo.person for photo in photos})
    person = torch.tensor([names.index(photo.person) for photo in photos])
    mine = person % 2 == half
    cosines, same = damaged @ clean.T, person[:, None] == person
    own = same & ~torch.eye(len(photos), dtype=torch.bool) & mine[:, None]
    result = {"lookalike": cosines[torch.arange(len(photos)), nearest][mine]}
    result["strangers"] = cosines[~same & mine[:, None] & mine]
    for collection in ("london", "generated"):
        rows = torch.tensor([photo.collection == collection for photo in photos])
        result[collection] = cosines[own & rows[:, None]]
    return result


def most_alike(clean: Tensor, photos: list[Photo]) -> Tensor:
    """For embeddings (N,D) of photographs the number (N,) of the most alike one of another person."""
    person = np.array([photo.person for photo in photos])
    others = torch.from_numpy(person[:, None] != person)
    return (clean @ clean.T).masked_fill(~others, -2).argmax(1)


def least_passing(cosines: Iterable[dict[str, Tensor]]) -> float:
    """The threshold that one stranger in a hundred reaches at most, at any damage; cosines of :func:`told_apart`."""
    return max(float(kinds["strangers"].quantile(1 - PASSING)) for kinds in cosines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of faces")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cv2.setNumThreads(1)
    photos = photographs(args.work)
    teacher = Recognizer("arcface", args.assets)
    embedders: dict[str, Embed] = {"built-in": BuiltinEmbedder(args.weights).embed, "w600k_mbf": teacher}
    embeddings = embed_all(photos, embedders)
    truth = embeddings["w600k_mbf"]["clean"]
    nearest = most_alike(truth, photos)

    log.info("Recovery: mean cosine to the clean face's w600k_mbf embedding")
    log.info("| people | damage | w600k_mbf | built-in |")
    for collection in ("london", "members", "portraits", "generated"):
        rows = torch.tensor([photo.collection == collection for photo in photos])
        for damage in DAMAGES:
            means = [(embeddings[name][damage] * truth)[rows].sum(1).mean() for name in ("w600k_mbf", "built-in")]
            log.info("| %s (%d) | %s | %.3f | %.3f |", collection, rows.sum(), damage, *means)
    for name, by_damage in embeddings.items():
        log.info("\n%s: cosine of a damaged face to clean photographs, mean ± deviation", name)
        log.info("| half | damage | %s |", " | ".join(KINDS))
        halves = {
            (half, damage): told_apart(by_damage[damage], by_damage["clean"], photos, nearest, half)
            for half in (1, 0)
            for damage in DAMAGES
        }
        for (half, damage), cosines in halves.items():
            cells = [f"{cosines[kind].mean():.3f} ± {cosines[kind].std():.3f}" for kind in KINDS]
            log.info("| %s | %s | %s |", "odd" if half else "even", damage, " | ".join(cells))
        threshold = least_passing(halves[1, damage] for damage in DAMAGES)
        log.info("threshold %.3f, of the even half pass:\n| damage | %s |", threshold, " | ".join(KINDS))
        for damage in DAMAGES:
            cells = [f"{(halves[0, damage][kind] >= threshold).float().mean():.3f}" for kind in KINDS]
            log.info("| %s | %s |", damage, " | ".join(cells))


if __name__ == "__main__":
    main()
