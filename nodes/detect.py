"""Detect Faces."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..core.faces.detect import ONCE_CALLED, ORDERS, Detector, detect_faces
from ..core.faces.preview import draw_faces
from ..core.faces.select import measure_faces
from ..core.records import Face, PhotoFaces
from . import models
from .progress import PhotoBar, check_interrupt
from .sockets import FACES, BoxesSocket, FacesSocket, photos_of, schema

log = logging.getLogger(__name__)

PREVIEW_SIDE = 1024
PREVIEW_FRAMES = 16


def detector_inputs() -> list[io.Input]:
    """The widgets by which faces are found, shared with Restore Faces."""
    return [
        io.Combo.Input(
            "detector",
            options=models.detector_names(),
            default="auto",
            tooltip="What finds the faces. auto takes insightface or facexlib where you have the package and its "
            "files, else the built-in one. Change it when faces are missed; nothing is ever downloaded.",
        ),
        io.Float.Input(
            "threshold",
            default=0.5,
            min=0.05,
            max=1.0,
            step=0.05,
            tooltip="How sure the detector must be. Lower it when a face is missed, raise it when something that is "
            "no face is taken for one. Costs nothing.",
        ),
        io.Int.Input(
            "min_size",
            default=16,
            min=1,
            max=4096,
            tooltip="Smaller faces are left out [px of the longer side of the box]. Raise it to leave out the people "
            "in the background, which also makes the search of large photographs faster.",
        ),
        io.Int.Input(
            "max_faces",
            default=0,
            min=0,
            max=1000,
            tooltip="At most so many faces of each image, the largest ones; 0 takes all. Set it to 1 for portraits.",
        ),
    ]


def known_detectors(asked: Iterable[str | None]) -> bool | str:
    """True, or what is wrong with the detectors that a graph asks for; None where another node will say."""
    names = models.detector_names()
    for name in asked:
        if not (name is None or name in names or name in ONCE_CALLED):
            return f"The detector is '{name}'; expected one of {', '.join(names)}. Choose it again."
    return True


class DetectFaces(io.ComfyNode):
    """Faces in a photograph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "DetectFaces",
            FACES,
            ("face detection", "find faces", "RetinaFace", "SCRFD"),
            display_name="Detect Faces",
            description="Finds the faces of each image, numbers them, and shows them.",
            inputs=[
                io.Image.Input("image", tooltip="Photographs, or the frames of a video as a batch."),
                *detector_inputs(),
                io.Combo.Input(
                    "order",
                    options=list(ORDERS),
                    default="left-right",
                    tooltip="How the faces of an image are numbered, from 1. Choose one that keeps the numbers steady "
                    "from frame to frame.",
                ),
            ],
            outputs=[
                FacesSocket.Output(display_name="faces", tooltip="For Select Faces and Crop Faces."),
                BoxesSocket.Output(display_name="boxes", tooltip="The same faces as plain boxes, for other nodes."),
            ],
        )

    @classmethod
    def validate_inputs(cls, detector: str | None = None) -> bool | str:
        """Graphs from before 0.1.0 are accepted."""
        return known_detectors([detector])

    @classmethod
    def execute(
        cls, image: Tensor, detector: str, threshold: float, min_size: int, max_faces: int, order: str
    ) -> io.NodeOutput:
        """See the class."""
        photos_of(image)  # refuses an empty batch before anything is loaded
        found = models.get_detector(detector)
        bar = PhotoBar(len(image))
        faces: list[Face] = []
        sizes, previews = [], []
        for number in range(len(image)):
            photos = photos_of(image[number : number + 1])
            known = find_faces(photos, found, threshold, min_size, max_faces, order)
            seen = measure_faces(photos, known, bar.over(len(known)))
            if number < PREVIEW_FRAMES:
                previews.append(draw_faces(photos[0], seen, PREVIEW_SIDE))
            faces += [replace(face, image=number) for face in seen]
            sizes.append((photos.shape[2], photos.shape[3]))
            bar.finish()
        log.info("%s found %d faces in %d images.", found.name, len(faces), len(image))
        preview = ui.PreviewImage(torch.stack(previews).movedim(1, -1), cls=cls)
        return io.NodeOutput(PhotoFaces(tuple(faces), tuple(sizes)), boxes_of(faces, sizes), ui=preview)


def find_faces(
    photos: Tensor, detector: Detector, threshold: float, min_size: int, max_faces: int, order: str = "left-right"
) -> list[Face]:
    """As core finds them, but stopping between photographs when the user interrupts; max_faces 0 is no limit."""
    faces = []
    for number in range(len(photos)):
        check_interrupt()
        seen = detect_faces(photos[number : number + 1], detector, threshold, min_size, max_faces or None, order)
        faces += [replace(face, image=number) for face in seen]
    return faces


def boxes_of(faces: list[Face], sizes: list[tuple[int, int]]) -> list[list[dict[str, object]]]:
    """Faces as core's BOUNDING_BOX: for each image a list of boxes in whole px."""
    boxes: list[list[dict[str, object]]] = [[] for _ in sizes]
    for face in faces:
        height, width = sizes[face.image]
        x0, y0 = (max(0, math.floor(v + 0.5)) for v in face.box[:2])
        x1, y1 = (min(n, math.ceil(v + 0.5)) for v, n in zip(face.box[2:], (width, height), strict=True))
        box = {"x": x0, "y": y0, "width": max(1, x1 - x0), "height": max(1, y1 - y0)}
        boxes[face.image].append({**box, "label": "face", "score": face.score})
    return boxes
