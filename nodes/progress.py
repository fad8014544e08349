"""ComfyUI's progress bar and its interrupt, as core's callbacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import comfy.utils
from comfy import model_management

from ..core.batches import batch_size
from ..core.records import Restorer
from . import models

STEPS = 25  # calls a batch makes, as long as nothing is known
UNIT = 100  # parts of the bar a face takes up


def check_interrupt() -> None:
    """End the work when the user has asked for it."""
    model_management.throw_exception_if_processing_interrupted()


class PhotoBar:
    """A bar over photographs.

    Args:
        photos: how many.
    """

    def __init__(self, photos: int) -> None:
        self._bar = comfy.utils.ProgressBar(photos * UNIT)
        self._done = 0

    def step(self, share: float, photos: int = 1) -> None:
        """`share` (0 to 1) of the next few photographs is done."""
        check_interrupt()
        self._bar.update_absolute(int((self._done + share * photos) * UNIT))

    def over(self, faces: int) -> Callable[[], None]:
        """A callback for each of so many faces of the next photograph, of whose time they take the second half."""
        begun = 0

        def step() -> None:
            nonlocal begun
            self.step(0.5 + 0.5 * begun / max(1, faces))
            begun += 1

        return step

    def finish(self, photos: int = 1) -> None:
        """The next few photographs are done."""
        self._done += photos
        self.step(0.0)


@contextmanager
def working(
    restorer: Restorer, faces: int, kind: str, show: Callable[[float], None] | None = None
) -> Iterator[Callable[[], None]]:
    """Bring a restorer to the device and give the callback for its work on some faces.

    Args:
        restorer: from :mod:`.models`.
        faces: how many.
        kind: of work; the number of steps in it is learned for each.
        show: gets the share that is done, 0 to 1; without it a bar of its own is moved.
    """
    check_interrupt()
    if faces:
        models.bring(restorer, faces)
    batches = math.ceil(faces / batch_size(models.device_of(restorer)))
    steps = models.host(restorer).steps
    expected = max(1.0, steps.get(kind, STEPS) * batches)
    bar = comfy.utils.ProgressBar(max(1, faces) * UNIT) if show is None else None
    calls = 0

    def moved(share: float) -> None:
        if show:
            show(share)
        elif bar:
            bar.update_absolute(int(share * bar.total))

    def progress() -> None:
        nonlocal calls
        check_interrupt()
        calls += 1
        moved(min(calls / expected, 0.99))

    yield progress
    if batches:
        steps[kind] = calls / batches
    moved(1.0)
