"""Faces from Boxes: what core's own detectors found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.faces.boxes import faces_from_meshes, faces_in_boxes
from ..core.faces.select import measure_faces
from ..core.records import Face, PhotoFaces
from . import models
from .payloads import PIXELS, SHARES, boxes_of_core, meshes_of_core
from .progress import PhotoBar, check_interrupt
from .sockets import INTEROP, BoxesSocket, FacesSocket, LandmarksSocket, photos_of, schema


class FacesFromBoxes(io.ComfyNode):
    """Faces where another node found some."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "FacesFromBoxes",
            INTEROP,
            ("bounding box to faces", "MediaPipe faces", "face landmarks to faces"),
            display_name="Faces from Boxes",
            description="Makes faces of the boxes or the face landmarks that another node found. Connect one of them.",
            inputs=[
                io.Image.Input("image", tooltip="The image in which the boxes or landmarks were found."),
                BoxesSocket.Input(
                    "boxes",
                    optional=True,
                    extra_dict={"forceInput": True},  # newer frontends would draw a widget for a box
                    tooltip="Boxes around faces. Eyes, nose and mouth are looked for in each; where they are not seen, "
                    "an upright face is taken to fill the box, if a face might. In a box around more, the face is "
                    "looked for.",
                ),
                LandmarksSocket.Input(
                    "landmarks",
                    optional=True,
                    tooltip="Face landmarks (MediaPipe), which place a face more exactly than a box.",
                ),
                io.Combo.Input(
                    "units",
                    options=[PIXELS, SHARES],
                    default=PIXELS,
                    optional=True,
                    tooltip="In what the boxes are given: pixels, or shares of the image's width and height, 0 to 1.",
                ),
            ],
            outputs=[FacesSocket.Output(display_name="faces", tooltip="Numbered in the order they were given.")],
        )

    @classmethod
    def execute(cls, image: Tensor, boxes: Any = None, landmarks: Any = None, units: str = PIXELS) -> io.NodeOutput:
        """See the class."""
        photos = photos_of(image)
        if (boxes is None) == (landmarks is None):
            got = "neither" if boxes is None else "both"
            raise ValueError(f"Got {got} of boxes and landmarks; connect exactly one of them.")
        sizes = tuple((photos.shape[2], photos.shape[3]) for _ in photos)
        if boxes is None:
            meshes = meshes_of_core(landmarks, sizes)
        else:
            given, scores = boxes_of_core(boxes, sizes, units)
            detector = models.get_detector("built-in")
        bar = PhotoBar(len(photos))
        faces: list[Face] = []
        for number in range(len(photos)):
            check_interrupt()
            part = slice(number, number + 1)
            if boxes is None:
                found = faces_from_meshes(meshes[part])
            else:
                found = faces_in_boxes(photos[part], given[part], scores[part], detector)
            measured = measure_faces(photos[part], found, bar.over(len(found)))
            faces += [replace(face, image=number) for face in measured]
            bar.finish()
        if boxes is not None:
            check_seen(faces, sum(map(len, given)), "boxes")
        return io.NodeOutput(PhotoFaces(tuple(faces), sizes))


def check_seen(faces: Sequence[Face], count: int, what: str) -> None:
    """Raise ValueError where so many boxes were given, and none is a face's."""
    if count and not faces:
        raise ValueError(
            f"In none of the {count} {what} a face was seen, and no face would fill them; connect {what} around faces, "
            "and the image they were found in."
        )
