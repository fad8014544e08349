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
from .soundness import check_shape, check_sound

FORMAT = "resemblance references 4"
EXPECTED = "expected a file that was saved by this program"
TENSORS = ("faces", "content", "code_latent", "identity_embeddings", "matching_embeddings")


def save_references(references: References, path: Path) -> None:
    """Write references to a .safetensors file, whole or not at all; they come back bit for bit.

    Raises:
        OSError: the file could not be written.
        ValueError: the references could not be read again.
    """
    try:
        check_sound(references)
    except ValueError as error:
        raise ValueError(f"The references cannot be saved: {error}. Encode the photographs again.") from error
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
    """Read what :func:`save_references` wrote. Nothing in the file is believed: see :mod:`.soundness`.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it holds something else, or references with values that cannot be.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise ValueError(f"'{path}' holds no references (it is a folder, a pipe or a device); {EXPECTED}.")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["references"])
            if about["format"] != FORMAT:
                raise ValueError(f"it holds '{about['format']!s:.40}'; expected '{FORMAT}'")
            references = _read(file, about)
        check_sound(references)
    except OSError as error:
        raise OSError(
            f"Cannot read '{path}': {error.strerror or error}; {EXPECTED}. Check the path and its permissions."
        ) from error
    except (SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"'{path}' holds no references ({error!s:.200}); {EXPECTED}.") from error
    except ValueError as error:
        raise ValueError(f"'{path}' cannot be used: {error}. Encode the photographs again.") from error
    return references


def _read(file: Any, about: Any) -> References:
    names = set(file.keys())
    people = []
    for number, told in enumerate(_listed(about["people"])):
        parts = {name: f"{number}.{name}" for name in TENSORS}
        sides = {side: f"{number}.skips.{side}" for side in _listed(told["sides"])}
        lists: dict[str, Any] = {key: _listed(told[key]) for key in ("weights", "sources", "given")}
        for name in (*parts.values(), *sides.values()):
            check_shape(name, tuple(file.get_slice(name).get_shape()), len(lists["weights"]))
            names.discard(name)
        tensors = {name: file.get_tensor(stored) for name, stored in parts.items()}
        skips = {side: file.get_tensor(stored) for side, stored in sides.items()}
        qualities = tuple(FaceQuality(**quality) for quality in _listed(told["qualities"]))
        people.append(Person(told["name"], skips=skips, qualities=qualities, **lists, **tensors))
    if names:
        raise ValueError(f"it holds '{min(names)}', which is nobody's; expected the tensors of its people alone")
    refused, doubted = (tuple(_pair(each) for each in _listed(about[key])) for key in ("refused", "doubted"))
    return References(
        tuple(people), about["restorer"], about["embedder"], _pair(about["embedded_by"]), refused, doubted
    )


def _pair(value: object) -> tuple[Any, Any]:
    items = _listed(value)
    if len(items) != 2:
        raise TypeError(f"{len(items)} items in place of two")
    return items[0], items[1]


def _listed(value: object) -> tuple[Any, ...]:
    """The items of a list; a text is none."""
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} in place of a list")
    return tuple(value)
