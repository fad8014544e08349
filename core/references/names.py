"""Names given by hand: which face is whose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..records import Face, References

NOBODY = "none"  # what is written in place of a name


def check_names(names: Iterable[str], references: References | None, others: Iterable[str] = ()) -> None:
    """Raise ValueError unless all names are among the references', if there are any, or those of others to come."""
    known = [*(person.name for person in (references.people if references else ())), *others]
    for name in names:
        if name not in known:
            raise ValueError(
                f"'{name}' is not among the people of the references; expected one of {', '.join(known) or 'nobody'}."
            )


def check_numbers(manual: Mapping[int, str | None], faces: Iterable[Face]) -> None:
    """Raise ValueError where somebody is named by the number of a face that there is not, if there are any faces."""
    known = sorted({face.index for face in faces})
    for number, name in manual.items():
        if known and number not in known:
            there = ", ".join(str(index + 1) for index in known)
            raise ValueError(f"{number + 1}={name or NOBODY} names no face: expected one of the faces {there}.")


def parse_manual(text: str) -> dict[int, str | None]:
    """Faces and names, such as ``"1=anna, 2=none"``; nothing where the text is empty.

    Returns:
        {index of a face, from 0: name or None}: what is written are numbers, from 1.

    Raises:
        ValueError: anything else.
    """
    found: dict[int, str | None] = {}
    for part in filter(str.strip, re.split(r"[,\n]", text)):
        pair = re.fullmatch(r"\s*(\d{1,6})\s*=\s*(\S.*?)\s*", part)
        index = int(pair[1]) - 1 if pair else -1
        if not pair or index in found or index < 0:
            raise ValueError(
                f"The matches were '{text}'; expected numbers of faces, from 1, and names, such as "
                f"'1=anna, 2={NOBODY}', each number once."
            )
        found[index] = None if pair[2] == NOBODY else pair[2]
    return found
