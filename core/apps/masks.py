"""Damage masks on disk: which belongs to a photograph, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ..faces.measure import luma
from ..files.images import FORMATS, read_photo
from .files import Job, UsageError


def check_masks(given: Path, jobs: Sequence[Job]) -> None:
    """See that masks can be used.

    Raises:
        UsageError: nothing is there, or one mask was given for several pictures.
    """
    if not given.exists():
        raise UsageError(f"--damage-mask {given} is not there; give a picture, or a folder of pictures.")
    if given.is_file() and len(jobs) > 1:
        raise UsageError(
            f"--damage-mask {given} is one picture, but {len(jobs)} are to be restored; give a folder with a mask of "
            "the same name for each."
        )


def mask_of(given: Path | None, photograph: Path) -> Tensor | None:
    """The mask (1,H,W) in [0,1] of a photograph; None where there is none for it.

    Args:
        given: the mask, or a folder in which it has the photograph's name, whatever its suffix; None is no mask.
        photograph: the picture that is to be restored.

    Raises:
        ValueError: the mask is no picture that can be read.
        OSError: as :func:`..files.images.read_photo`.
    """
    if given is None:
        return None
    if given.is_dir():
        named = sorted(p for p in given.iterdir() if p.stem == photograph.stem and p.suffix.lower() in FORMATS)
        if not named:
            return None
        given = named[0]
    return luma(read_photo(given).pixels)[None].clamp(0, 1)
