"""References in a file, bit for bit."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..files.images import write_atomically
from ..records import FaceQuality, Person, References

FORMAT = "resemblance references 4"
TENSORS = ("faces", "content", "code_latent", "identity_embeddings", "matching_embeddings")


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
    except OSError as error:
        raise OSError(
            f"Cannot read '{path}': {error.strerror or error}; expected a file that was saved by this program. Check "
            "the path and its permissions."
        ) from error
    except (SafetensorError, KeyError) as error:
        raise ValueError(
            f"'{path}' holds no references ({error}); expected a file that was saved by this program."
        ) from error
    refused, doubted = (tuple((source, reason) for source, reason in about[key]) for key in ("refused", "doubted"))
    embedded_by = (about["embedded_by"][0], about["embedded_by"][1])
    return References(tuple(people), about["restorer"], about["embedder"], embedded_by, refused, doubted)
