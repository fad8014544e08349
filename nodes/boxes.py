"""Faces from Boxes: what core's own detectors found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.faces.boxes import faces_from_meshes, faces_in_boxes
from ..core.faces.select import measure_faces
from ..core.records import Box, Face, PhotoFaces
from . import models
from .progress import PhotoBar
from .sockets import BoxesSocket, FacesSocket, LandmarksSocket, photos_of, schema


class FacesFromBoxes(io.ComfyNode):
    """Faces where another node found some."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "FacesFromBoxes",
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
                    "an upright face is taken to fill the box.",
                ),
                LandmarksSocket.Input(
                    "landmarks",
                    optional=True,
                    tooltip="Face landmarks (MediaPipe), which place a face more exactly than a box.",
                ),
            ],
            outputs=[FacesSocket.Output(display_name="faces", tooltip="Numbered in the order they were given.")],
        )

    @classmethod
    def execute(cls, image: Tensor, boxes: Any = None, landmarks: Any = None) -> io.NodeOutput:
        """See the class."""
        photos = photos_of(image)
        if (boxes is None) == (landmarks is None):
            got = "neither" if boxes is None else "both"
            raise ValueError(f"Got {got} of boxes and landmarks; connect exactly one of them.")
        if boxes is None:
            meshes = _meshes(landmarks, photos)
        else:
            given, scores = _boxes(boxes, len(photos))
            detector = models.get_detector("builtin")
        bar = PhotoBar(len(photos))
        faces: list[Face] = []
        for number in range(len(photos)):
            part = slice(number, number + 1)
            if boxes is None:
                found = faces_from_meshes(meshes[part])
            else:
                found = faces_in_boxes(photos[part], given[part], scores[part], detector)
            faces += [replace(face, image=number) for face in measure_faces(photos[part], found)]
            bar.finish()
        sizes = tuple((photos.shape[2], photos.shape[3]) for _ in photos)
        return io.NodeOutput(PhotoFaces(tuple(faces), sizes))


def _boxes(boxes: Any, photos: int) -> tuple[list[list[Box]], list[list[float]]]:
    """Core's BOUNDING_BOX in any of its forms: one box, those of one image (both for all images), or of each image."""
    if isinstance(boxes, dict):
        boxes = [boxes]
    if not isinstance(boxes, list | tuple):
        raise ValueError(f"The boxes were {type(boxes).__name__}; expected a list of boxes for each image.")
    per_image = [list(b) for b in boxes] if all(isinstance(b, list | tuple) for b in boxes) and len(boxes) else [boxes]
    if len(per_image) == 1:
        per_image *= photos
    if len(per_image) != photos:
        raise ValueError(
            f"Got boxes for {len(per_image)} images, but {photos} images; connect the image they were found in."
        )
    try:
        # A box of core names whole pixels by their edges; ours lie half a pixel lower.
        given = [
            [(b["x"] - 0.5, b["y"] - 0.5, b["x"] + b["width"] - 0.5, b["y"] + b["height"] - 0.5) for b in image]
            for image in per_image
        ]
        scores = [[float(b.get("score", 1.0)) for b in image] for image in per_image]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"A box could not be read ({error!r}); expected x, y, width and height in px. "
            "Connect a BOUNDING_BOX output."
        ) from error
    return given, scores


def box_of(corners: Iterable[Any], shift: float = 0.0) -> Box:
    """Four numbers x0, y0, x1, y1 of another node, each moved by `shift`.

    Raises:
        TypeError, ValueError: others, or not four.
    """
    x0, y0, x1, y1 = (float(corner) + shift for corner in corners)
    return x0, y0, x1, y1


def _meshes(landmarks: Any, photos: Tensor) -> list[list[tuple[Box, Tensor, float]]]:
    try:
        size = tuple(int(n) for n in landmarks["image_size"])
        frames = landmarks["frames"]
        meshes = [
            [
                (
                    box_of(face["bbox_xyxy"]),
                    torch.as_tensor(face["landmarks_xy"]).cpu(),
                    float(face.get("score", 1.0)),
                )
                for face in frame
            ]
            for frame in frames
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"The landmarks could not be read ({error!r}); connect a FACE_LANDMARKS output of ComfyUI's own nodes."
        ) from error
    if len(meshes) != len(photos) or size != tuple(photos.shape[2:]):
        raise ValueError(
            f"Got landmarks for {len(meshes)} images of {size[1]}x{size[0]}, but {len(photos)} images of "
            f"{photos.shape[3]}x{photos.shape[2]}; connect the image they were found in."
        )
    return meshes
