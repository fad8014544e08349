"""Pictures for the page: overlays, thumbnails, and the files in which they are shown."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ...faces.measure import luma
from ...faces.preview import COLOURS
from ...files.images import write_atomically

INVENTED = COLOURS[1]
NEWEST = 60  # pictures that are kept of a session; the page shows three at once


def array(picture: Tensor) -> np.ndarray:
    """(3,h,w) in [0,1] → uint8 (h,w,3)."""
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()


def show(picture: np.ndarray, folder: Path) -> str:
    """Write a picture for the page and return its path; the same picture has the same path.

    Args:
        picture: uint8 (h,w,3).
        folder: for such pictures alone; of those before, the newest stay.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    file = folder / f"{hashlib.sha256(buffer.getvalue()).hexdigest()[:32]}.jpg"
    if file.exists():
        os.utime(file)  # it is new again
    else:
        write_atomically(file, buffer.getvalue())
    for old in sorted(folder.glob("*.jpg"), key=lambda path: path.stat().st_mtime_ns)[:-NEWEST]:
        old.unlink(missing_ok=True)
    return str(file)


def invented(after: Tensor, invention: Tensor) -> Tensor:
    """A face (3,h,w) in grey, orange where it was invented by `invention` (1,h,w)."""
    grey = luma(after)[None].expand(3, -1, -1)
    colour = after.new_tensor(INVENTED)[:, None, None] / 255
    return grey + invention * 0.75 * (colour - grey)


def thumbnail(picture: Tensor, side: int = 96) -> str:
    """The middle square of a picture (3,h,w), small, as the address of itself, to stand in HTML."""
    height, width = picture.shape[-2:]
    square = min(height, width)
    top, left = (height - square) // 2, (width - square) // 2
    middle = Image.fromarray(array(picture[:, top : top + square, left : left + square]))
    buffer = io.BytesIO()
    middle.resize((side, side), Image.Resampling.BOX).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
