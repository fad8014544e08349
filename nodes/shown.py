"""What Restore Faces did, to be seen in the node and read in the log."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..core.faces.crop import crop_faces
from ..core.faces.preview import draw_rows
from ..core.geometry import compose, invert, scaling, warp
from ..core.pipeline import FaceReport, LeftAlone

FACES = 8  # that are shown, the first ones
SIDE = 192  # of each as it is drawn [px]
NOBODY = "No face was found"


class Shown:
    """Faces before and after, collected photograph by photograph."""

    def __init__(self) -> None:
        self._rows: list[list[tuple[Tensor, str]]] = []

    def add(self, before: Tensor, after: Tensor, reports: Sequence[FaceReport]) -> None:
        """Faces of some photographs, as (B,3,H,W) before and after, which may be larger."""
        larger = scaling(after.shape[-1] / before.shape[-1], after.shape[-2] / before.shape[-2])
        for report in reports[: FACES - len(self._rows)]:
            try:
                crop = crop_faces(before, [report.face], size=SIDE)
            except ValueError:  # its landmarks are no face's: it was left alone, and the log says so
                continue
            to_view = compose(crop.affines[0], invert(larger))
            views = crop.pixels[0], warp(after[report.face.image], to_view, (SIDE, SIDE))
            number, done = f"{report.face.index}", report.outcome
            if isinstance(done, LeftAlone):
                self._rows.append([(views[0], f"{number}: left alone")])
                continue
            words = f"restored {done.blend:.0%}"
            if report.guided and report.match:
                words += f", {report.match.person}"
            self._rows.append([(views[0], f"{number}: before"), (views[1], words)])

    def preview(self, node: type[io.ComfyNode]) -> ui.PreviewImage:
        """For the node itself."""
        rows = self._rows or [[(torch.full((3, SIDE, SIDE), 0.5), NOBODY)]]
        return ui.PreviewImage(draw_rows(rows, SIDE).movedim(0, -1)[None], cls=node)
