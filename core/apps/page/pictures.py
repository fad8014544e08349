"""Pictures for the page: faces with their numbers, overlays, and the files in which they are shown."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ...faces.measure import luma
from ...faces.preview import COLOURS, draw_faces
from ...files.images import write_atomically
from .session import SHOWN, Opened

INVENTED = COLOURS[1]
DIMMED = 0.35  # how much of a face that is left out is kept
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


def numbered(opened: Opened) -> np.ndarray:
    """The photograph as it is shown, its faces numbered from 1; those that are left out are greyed."""
    small = opened.small.clone()
    faces = []
    for face in opened.faces:
        x0, y0, x1, y1 = (v * opened.scale for v in face.box)
        if face.index not in opened.chosen:
            rows, columns = slice(max(0, int(y0)), int(y1) + 1), slice(max(0, int(x0)), int(x1) + 1)
            small[:, rows, columns] = DIMMED * small[:, rows, columns] + (1 - DIMMED) * 0.5
        faces.append(replace(face, index=face.index + 1, box=(x0, y0, x1, y1), landmarks=()))
    return array(draw_faces(small, faces, SHOWN))


def invented(after: Tensor, invention: Tensor) -> np.ndarray:
    """A face in grey, orange where it was invented."""
    grey = luma(after)[None].expand(3, -1, -1)
    colour = after.new_tensor(INVENTED)[:, None, None] / 255
    return array(grey + invention * 0.75 * (colour - grey))


def thumbnail(face: Tensor, side: int = 96) -> str:
    """A small picture as the address of itself, to stand in HTML."""
    buffer = io.BytesIO()
    Image.fromarray(array(face)).resize((side, side), Image.Resampling.BOX).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
