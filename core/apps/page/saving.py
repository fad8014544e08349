"""Photographs of a session, restored in full size and written."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...faces.crop import pick_crops
from ...faces.paste import paste_faces
from ...files.images import write_photo
from ..console import FAILURES
from . import words
from .graph import Settings
from .limits import Run, check_room
from .session import Session, told

Progress = Callable[[], None]


@dataclass(frozen=True)
class Step:
    """How far a run is, or that a photograph is done.

    Attributes:
        text: for the visitor.
        done: 0 to 1.
        file: what was written, or None.
        failed: whether the text is about something that went wrong.
    """

    text: str
    done: float
    file: Path | None = None
    failed: bool = False


def restore(session: Session, paths: Sequence[Path], settings: Settings, suffix: str, run: Run) -> Iterator[Step]:
    """Restore photographs at full size, one after the other; one that fails does not keep the others.

    Args:
        session: of the visitor.
        paths: which.
        settings: of the sliders.
        suffix: of the files that are written.
        run: by which it can be stopped.

    Yields:
        A step before each photograph, and one when it is done.

    Raises:
        Stopped: it was stopped; what is done stays.
    """
    for number, path in enumerate(paths):
        yield Step(f"Restoring {path.name} ({number + 1} of {len(paths)}) …", number / len(paths))
        done = (number + 1) / len(paths)
        try:
            text, file = _restore(session, path, settings, suffix, run.check)
            yield Step(f"{path.name}: {text}", done, file)
        except FAILURES as error:
            yield Step(f"{path.name}: {told(error, path)}", done, failed=True)


def packed(session: Session, files: Sequence[Path]) -> Path:
    """A ZIP of restored photographs; pictures do not shrink in it, so none is compressed.

    Raises:
        OSError: it cannot be written.
    """
    check_room(session.folder.parent)
    target = free(session.folder, "restored", ".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, file.name)
    return target


def free(folder: Path, stem: str, suffix: str) -> Path:
    """A name that no other result has."""
    names = [stem, *(f"{stem}_{n}" for n in range(2, 1000))]
    return next(p for name in names if not (p := folder / f"{name}{suffix}").exists())


def _restore(
    session: Session, path: Path, settings: Settings, suffix: str, progress: Progress
) -> tuple[str, Path | None]:
    """One photograph from file to file: what to say, and where it is."""
    progress()
    check_room(session.folder.parent)
    photo = session.studio.read(path)
    opened = session.opened if session.opened and session.opened.path == path else session.open(path, photo)
    if not opened.faces:
        return words.NOTHING_FOUND, None
    numbers = sorted(opened.chosen)
    if not numbers:
        return words.NOTHING_CHOSEN, None
    made_with = session.made_with(path, settings)
    restored = session.drawn_faces(numbers, settings, opened, progress)
    pixels, _ = paste_faces(
        [photo.pixels], pick_crops(opened.crops, numbers), restored, in_place=True, progress=progress
    )
    file = free(session.folder, f"{path.stem}_restored", suffix)
    write_photo(file, replace(photo, pixels=pixels[0]))
    session.saved[path] = made_with
    return words.restored(len(numbers), len(opened.faces)), file
