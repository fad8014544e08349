"""What a visitor sees before there is a photograph: one that this program restored as it started, and some to try.

So the networks have also done everything once: what a network does for the first time takes a second or two longer, and
no visitor is to wait for that.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import words
from .graph import Settings
from .people import Studio
from .pictures import thumbnail
from .session import Session

if TYPE_CHECKING:
    from .visitors import Visitor

PLACE = Path(__file__).parents[3] / "nodes" / "examples"  # they belong to the nodes, which show them, too
RUINED, WITH_OTHERS, GROUP = "ruined", "with others", "group"
SIDE = 360  # [px] of the pictures that show what is done


@dataclass(frozen=True)
class Example:
    """A photograph to try, and better ones of the people in it; names of files."""

    photo: str
    others: tuple[str, ...]
    text: str


EXAMPLES = {
    RUINED: Example("woman_ruined.jpg", (), words.RUINED),
    WITH_OTHERS: Example("man_damaged.jpg", ("man_reference_1.jpg", "man_reference_2.jpg"), words.WITH_OTHERS),
    GROUP: Example("two_people_damaged.jpg", ("two_people_reference_1.jpg", "two_people_reference_3.jpg"), words.GROUP),
}


@dataclass(frozen=True)
class Demonstration:
    """Pictures, as addresses of themselves.

    Attributes:
        before, after: a face that was restored with photographs of the same person.
        examples: (name, picture, what it is) of each photograph to try.
    """

    before: str
    after: str
    examples: tuple[tuple[str, str, str], ...]


def demonstrate(studio: Studio, folder: Path) -> Demonstration:
    """Restore an example.

    Args:
        studio: the networks.
        folder: for nothing but this.

    Raises:
        OSError: the examples are missing, or the folder cannot be written.
    """
    session = Session(studio, folder / "shown")
    try:
        others = [PLACE / f"woman_reference_{number}.jpg" for number in (1, 2)]
        for _ in (*session.take_photos([PLACE / "woman_ruined.jpg"]), *session.take_references(others)):
            pass
        drawn = session.drawn(0, Settings(studio.restorer.default_content))
        pictures = [(name, thumbnail(studio.read(PLACE / e.photo).pixels, 160), e.text) for name, e in EXAMPLES.items()]
        return Demonstration(thumbnail(drawn.before, SIDE), thumbnail(drawn.after, SIDE), tuple(pictures))
    finally:
        session.close()


def copied(name: str, visitor: Visitor) -> tuple[list[Path], list[Path]]:
    """An example's photograph and the better ones, as files of the visitor's own.

    Raises:
        OSError: they cannot be written.
        ValueError: there is no such example.
    """
    if name not in EXAMPLES:
        raise ValueError(f"There is no example '{name}'; expected one of {', '.join(EXAMPLES)}. Load the page again.")
    example = EXAMPLES[name]

    def copy(file: str) -> Path:
        return Path(shutil.copy(PLACE / file, visitor.new_folder() / file))

    return [copy(example.photo)], [copy(file) for file in example.others]
