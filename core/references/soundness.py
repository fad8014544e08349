"""What references that come from a file must hold, before anything is computed with them.

Such files are made to be handed on, so nothing in them is believed: kinds, numbers, shapes and values are looked at.
What a restorer or an embedder expects besides is seen where they are used.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from ..faces.identity import EMBEDDERS
from ..finite import is_finite
from ..geometry import TEMPLATE_SIZE
from ..records import FaceQuality, Person, References
from .sorting import MOST
from .views import WEIGHTS

FINGERPRINT = re.compile("[0-9a-f]{16}")
LONGEST = 1000  # letters in a name or a reason
LARGEST = 16 << 20  # numbers that one tensor has for one photograph: twice the largest of CodeFormer's
UNIT = 0.01  # how far from 1 the length of an embedding may lie: it was computed by whatever device
DOUBTED = WEIGHTS[0] / 100, WEIGHTS[1]  # weights after photographs that are in doubt were counted for less


def check_shape(name: str, shape: tuple[int, ...], photographs: int) -> None:
    """Raise ValueError unless a tensor has a row for each photograph and is no larger than any restorer's."""
    if not 1 <= photographs <= MOST:
        raise ValueError(f"there are {photographs} photographs of one person; expected 1 to {MOST}")
    count = math.prod(shape[1:])
    if shape[:1] != (photographs,) or not 1 <= count <= LARGEST:
        raise ValueError(
            f"'{name}' has the shape {shape}; expected {photographs} rows of 1 to {LARGEST} numbers, one for each "
            "photograph"
        )


def check_sound(references: References) -> None:
    """Raise ValueError unless references can be used by the restorer and the embedder that they name.

    The message is a clause, to be put behind the name of the file.
    """
    for fingerprint in (references.restorer, *references.embedded_by):
        if not isinstance(fingerprint, str) or not FINGERPRINT.fullmatch(fingerprint):
            raise ValueError(f"a fingerprint is {_short(fingerprint)}; expected sixteen digits 0 to 9, a to f")
    if references.embedder not in EMBEDDERS:
        raise ValueError(f"the embedder is {_short(references.embedder)}; expected one of {', '.join(EMBEDDERS)}")
    for pair in (*references.refused, *references.doubted):
        _check_texts("a photograph and what is said of it", pair)
    _check_texts("the names", [person.name for person in references.people])
    names = [person.name for person in references.people]
    if len(set(names)) != len(names):
        raise ValueError(f"the names are {_short(names)}; expected each once")
    for person in references.people:
        _check_person(person)


def _check_person(person: Person) -> None:
    count = len(person)
    _check_texts("the sources", person.sources)
    _check_numbers("weights", person.weights, *DOUBTED)
    _check_numbers("given weights", person.given, *WEIGHTS)
    for quality in person.qualities:
        _check_quality(quality)
    rows = {"sources": person.sources, "weights": person.weights}
    rows |= {name: x for name, x in (("given", person.given), ("qualities", person.qualities)) if x}
    for name, values in rows.items():
        if len(values) != count:
            raise ValueError(f"'{person.name}' has {len(values)} {name} of {count} photographs; expected one for each")
    if not all(type(side) is int for side in person.skips):
        raise ValueError(
            f"'{person.name}' has features of the sides {_short(list(person.skips))}; expected whole numbers"
        )
    latent = tuple(person.content.shape)
    expected: dict[str, tuple[Tensor, tuple[int, ...], torch.dtype]] = {
        "faces": (person.faces, (count, 3, TEMPLATE_SIZE, TEMPLATE_SIZE), torch.float32),
        "content": (person.content, (*latent[:2], latent[-1], latent[-1]), torch.float32),
        "code_latent": (person.code_latent, latent, torch.float32),
        "identity_embeddings": (
            person.identity_embeddings,
            (count, person.identity_embeddings.shape[-1]),
            torch.float32,
        ),
        "matching_embeddings": (
            person.matching_embeddings,
            (count, person.matching_embeddings.shape[-1]),
            torch.float32,
        ),
    }
    expected |= {
        f"skips.{side}": (x, (count, *x.shape[1:2], side, side), torch.bfloat16) for side, x in person.skips.items()
    }
    for name, (tensor, shape, dtype) in expected.items():
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise ValueError(
                f"'{name}' of '{person.name}' is {tensor.dtype} of shape {tuple(tensor.shape)}; expected {dtype} of "
                f"shape {shape}"
            )
        if not is_finite(tensor):
            raise ValueError(f"'{name}' of '{person.name}' holds NaN or infinite values; expected numbers")
    low, high = (float(x) for x in person.faces.aminmax())
    if low < 0 or high > 1:
        raise ValueError(f"'faces' of '{person.name}' holds {low:g} to {high:g}; expected 0 to 1")
    for name in ("identity_embeddings", "matching_embeddings"):
        lengths = getattr(person, name).norm(dim=1)
        if float((lengths - 1).abs().max()) > UNIT:
            raise ValueError(f"'{name}' of '{person.name}' has the lengths {_short(lengths.tolist())}; expected 1")


def _check_quality(quality: FaceQuality) -> None:
    _check_numbers("sharpness and severity", (quality.sharpness, quality.severity), 0, 1)
    _check_numbers("size and noise", (quality.size, quality.noise), 0, 1e6)


def _check_numbers(name: str, values: object, low: float, high: float) -> None:
    """Raise ValueError unless all are numbers in that range."""
    if not isinstance(values, tuple) or not all(type(x) in (int, float) and low <= x <= high for x in values):
        raise ValueError(f"the {name} of a photograph are {_short(values)}; expected numbers from {low:g} to {high:g}")


def _check_texts(name: str, values: object) -> None:
    """Raise ValueError unless all are texts of some length."""
    if not isinstance(values, tuple | list) or not all(isinstance(x, str) and 0 < len(x) <= LONGEST for x in values):
        raise ValueError(f"{name} are {_short(values)}; expected texts of 1 to {LONGEST} letters")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
