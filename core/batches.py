"""Sending faces through a network in small batches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from .geometry import TEMPLATE_SIZE

log = logging.getLogger(__name__)
Result = TypeVar("Result")

# A CPU gains nothing by more than one face at a time, and answers an interrupt sooner.
CPU_BATCH = 1
DEVICE_BATCH = 8


def batch_size(device: torch.device) -> int:
    """How many faces a network on `device` takes at once."""
    return CPU_BATCH if device.type == "cpu" else DEVICE_BATCH


def face_batches(faces: Tensor, device: torch.device) -> list[Tensor]:
    """Split faces (N,3,512,512) into what a network on `device` takes at once; no faces make no batch.

    Raises:
        ValueError: any other shape, or whole numbers.
    """
    check_faces(faces)
    return [batch for batch in faces.split(batch_size(device)) if len(batch)]


def check_faces(faces: Tensor) -> None:
    """Raise ValueError unless `faces` is (N,3,512,512), floating point."""
    if faces.ndim != 4 or faces.shape[1:] != (3, TEMPLATE_SIZE, TEMPLATE_SIZE) or not faces.is_floating_point():
        raise ValueError(
            f"Got {faces.dtype} of shape {tuple(faces.shape)}; expected aligned faces, float, "
            f"(N, 3, {TEMPLATE_SIZE}, {TEMPLATE_SIZE}) in [0, 1]. Crop the faces to the template first."
        )


def in_batches(count: int, step: int, work: Callable[[slice], Result]) -> list[Result]:
    """Do `work` on `count` faces, `step` at a time, and on half as many from where the device's memory is too small.

    Raises:
        torch.cuda.OutOfMemoryError: one face is too much.
    """
    results: list[Result] = []
    start = 0
    while start < count:
        part = slice(start, min(start + step, count))
        try:
            results.append(work(part))
        except torch.cuda.OutOfMemoryError:
            if step == 1:
                raise
            step //= 2
            log.warning("The device's memory is too small: going on with %d faces at once.", step)
            continue
        start = part.stop
    return results
