"""What the page takes on: limits that keep one visitor from filling the machine, each said in a sentence."""

from __future__ import annotations

import os
import re
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
SCANS = 100  # of a progressive JPEG, which programs save in about ten: each is another pass over all pixels
OWN_MEGABYTES = 1000  # of all files of one visitor, results among them
ALL_MEGABYTES = 4000  # of all visitors' files
FREE_MEGABYTES = 500  # that stay free on the disk
FILES = 100  # of one upload
UPLOAD_MINUTES = 15  # that one upload may take
WAITING = 16  # requests in the queue, of all visitors together
VISITORS = 24  # whose photographs are kept in memory; of more, those seen longest ago are forgotten
MINUTES = 30  # that one run may take
KEPT = 3600  # [s] after which files and photographs of a visitor are deleted
# A marker of JPEG: no byte of a picture's own data (0xFF00), no pause in it (0xFFD0 to 0xFFD7), no filling (0xFFFF).
MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
START, END, SCAN = b"\xd8", b"\xd9", b"\xda"


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


def check_room(folder: Path) -> None:
    """Raise ValueError where a visitor's folder is full."""
    there = megabytes_in(folder)
    if there > OWN_MEGABYTES:
        raise ValueError(
            f"you have {there:.0f} MB here; the limit is {OWN_MEGABYTES} MB for each visitor. Save what is done, and "
            "wait an hour: files are deleted then."
        )


def megabytes_in(folder: Path) -> float:
    """Of all files below a folder; 0 where there is no such folder.

    Others may delete files and folders meanwhile.
    """
    total = 0
    for path, _, names in os.walk(folder):  # unlike rglob it passes over a folder that is gone
        for name in names:
            try:
                total += os.lstat(f"{path}{os.sep}{name}").st_size
            except OSError:
                continue
    return total / 1e6


def check_file(path: Path) -> None:
    """Refuse a file that is too large or too laborious, before it is decoded.

    Files that are no pictures pass: reading them says what is wrong.

    Raises:
        PictureError: it has too many bytes, pixels or scans.
        OSError: it cannot be read.
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
    scans = count_scans(path.read_bytes())
    if scans > SCANS:
        raise PictureError(f"the JPEG has {scans} scans; the page takes {SCANS}. Open it elsewhere and save it anew.")


def count_scans(data: bytes) -> int:
    """How many scans a JPEG has (ITU-T T.81, B.1.1); 0 where it is none."""
    if not data.startswith(b"\xff" + START):
        return 0
    scans, place = 0, 2
    while (found := MARKER.search(data, place)) and found[1] != END:
        scans += found[1] == SCAN
        place = found.end()
        if found[1] != START:
            place += int.from_bytes(data[place : place + 2], "big")  # of its parameters
    return scans
