"""What the page takes on: limits that keep one visitor from filling the machine, each said in a sentence."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...files.images import READABLE, PictureError

MEGABYTES = 60  # of an uploaded file
MEGAPIXELS = 50  # of a photograph: 600 MB as float32, twice while it is pasted into
PHOTOS = 20  # that wait to be restored
REFERENCES = 16  # photographs of people
FACES = 40  # of one photograph, the largest
WAITING = 16  # requests in the queue, of all visitors together
VISITORS = 24  # whose photographs are kept in memory; of more, those seen longest ago are forgotten
MINUTES = 30  # that one run may take
KEPT = 3600  # [s] after which files and photographs of a visitor are deleted


class Stopped(Exception):  # noqa: N818 - no error: the visitor wanted it, or the time is over
    """A run was ended before it was done; its text says why."""


@dataclass(frozen=True)
class Run:
    """One run of a visitor, which can be stopped from another thread.

    Attributes:
        stop: set to end it.
        deadline: of :func:`time.monotonic` [s].
    """

    stop: threading.Event
    deadline: float

    @classmethod
    def begin(cls) -> Run:
        """A run that starts now."""
        return cls(threading.Event(), time.monotonic() + MINUTES * 60)

    def check(self) -> None:
        """Raise Stopped where the run is to end. To be called often: it is what restorers call ``progress``."""
        if self.stop.is_set():
            raise Stopped("Stopped, as you wished.")
        if time.monotonic() > self.deadline:
            raise Stopped(f"Stopped: one run may take {MINUTES} minutes. Restore fewer photographs at a time.")


def check_number(files: Sequence[object], most: int, what: str) -> None:
    """Raise ValueError where there are more files than the page takes at once."""
    if len(files) > most:
        raise ValueError(f"You gave {len(files)} {what}; the page takes {most} at once. Leave some out.")


def check_size(path: Path) -> None:
    """Refuse a file that is too large, before it is decoded.

    Files that are no pictures pass: reading them says what is wrong.

    Raises:
        PictureError: it has too many bytes or pixels.
    """
    megabytes = path.stat().st_size / 1e6
    if megabytes > MEGABYTES:
        raise PictureError(f"the file has {megabytes:.0f} MB; the page takes {MEGABYTES} MB. Save it smaller.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=READABLE) as image:
                width, height = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return
    if width * height > MEGAPIXELS * 1e6:
        raise PictureError(
            f"the photograph has {width * height / 1e6:.0f} megapixels; the page takes {MEGAPIXELS}. Shrink it, or use "
            "the command line."
        )
