"""What nodes did to faces, to be seen in the node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from comfy_api.latest import io, ui
from torch import Tensor
from torch.nn import functional as F

from ..core.faces.crop import crop_faces
from ..core.faces.preview import draw_rows, tinted
from ..core.geometry import compose, invert, scaling, warp
from ..core.pipeline import FaceReport, LeftAlone
from ..core.records import Face
from ..core.sentences import sentence

FACES = 8  # that are shown, the first ones
COLUMNS = 2  # of faces under maps
SIDE = 192  # of each as it is drawn [px]
NOBODY = "No face was found"


class Shown:
    """Faces before and after, collected photograph by photograph."""

    def __init__(self) -> None:
        self._rows: list[list[tuple[Tensor, str]]] = []
        self._said: list[str] = []

    def add(self, before: Tensor, after: Tensor, reports: Sequence[FaceReport]) -> None:
        """Faces of some photographs, as (B,3,H,W) before and after, which may be larger."""
        larger = scaling(after.shape[-1] / before.shape[-1], after.shape[-2] / before.shape[-2])
        for report in reports[: FACES - len(self._rows)]:
            try:
                crop = crop_faces(before, [report.face], size=SIDE)
            except ValueError:  # its landmarks are no face's: it was left alone, and the log says so
                continue
            to_view = compose(crop.affines[0], invert(larger))
            torn = report.restored.torn if report.restored else None
            row = [
                (_marked(crop.pixels[0], torn), f"{report.face.number}: before" + ("" if torn is None else "\ntorn"))
            ]
            if not isinstance(report.outcome, LeftAlone):
                row.append((warp(after[report.face.image], to_view, (SIDE, SIDE)), "after"))
            self._rows.append(row)
            self._said.append(sentence(report))

    def preview(self, node: type[io.ComfyNode]) -> ui.PreviewImage:
        """For the node itself, with a sentence about each face."""
        return preview(node, self._rows, self._said)


def _marked(view: Tensor, torn: Tensor | None) -> Tensor:
    """A face with what was found to be torn in the colour of the second line of words."""
    if torn is None:
        return view
    shares = F.interpolate(torn[None].to(view), view.shape[-2:], mode="area")[0]
    return tinted(view, torch.cat([torch.zeros_like(shares), shares]), grey=False)


def faces_preview(
    node: type[io.ComfyNode], faces: Sequence[Face], pictures: Iterable[Tensor], words: Iterable[str]
) -> ui.PreviewImage:
    """A picture (3,S,S) of each face, the first ones, with its number and what there is to see, for the node itself.

    What is meant by several colours of :func:`tinted` stands in a line for each.
    """
    shown = zip(faces[:FACES], pictures, words, strict=False)
    cells = [(picture, f"{face.number}: {text}") for face, picture, text in shown]
    return preview(node, [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)])


def preview(
    node: type[io.ComfyNode], rows: list[list[tuple[Tensor, str]]], below: Sequence[str] = ()
) -> ui.PreviewImage:
    """Faces in rows with words on them, and below each row; of none, that there are none."""
    rows = rows or [[(torch.full((3, SIDE, SIDE), 0.5), NOBODY)]]
    return ui.PreviewImage(draw_rows(rows, SIDE, below).movedim(0, -1)[None], cls=node)
