"""SEGS to Faces and Faces to SEGS: the Impact Pack's regions."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.faces.boxes import crop_regions, faces_in_boxes
from ..core.faces.select import measure_faces
from ..core.records import Crops, PhotoFaces
from . import models
from .boxes import check_seen
from .payloads import regions_of_impact
from .progress import PhotoBar, check_interrupt
from .sockets import INTEROP, CropsSocket, FacesSocket, SegsSocket, photos_of, schema

# The names are the Impact Pack's; its nodes ask for no more than these.
SEG = namedtuple(
    "SEG",
    ["cropped_image", "cropped_mask", "confidence", "crop_region", "bbox", "label", "control_net_wrapper"],
    defaults=[None],
)


class SegsToFaces(io.ComfyNode):
    """Faces where a detector of the Impact Pack found some."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "SegsToFaces",
            INTEROP,
            ("Impact Pack faces", "SEGS to face"),
            display_name="SEGS to Faces",
            description="Makes faces of the regions that the Impact Pack found in one image.",
            inputs=[
                SegsSocket.Input("segs", tooltip="Regions around faces, from the Impact Pack."),
                io.Image.Input(
                    "image",
                    tooltip="The image they were found in. Eyes, nose and mouth are looked for in each region; where "
                    "they are not seen, an upright face is taken to fill it.",
                ),
            ],
            outputs=[FacesSocket.Output(display_name="faces", tooltip="Numbered in the order of the regions.")],
        )

    @classmethod
    def execute(cls, segs: Any, image: Tensor) -> io.NodeOutput:
        """See the class."""
        photos = photos_of(image)
        _check_single(len(photos))
        (height, width), boxes, scores = regions_of_impact(segs)
        if (height, width) != tuple(photos.shape[2:]):
            raise ValueError(
                f"The SEGS belong to an image of {width}x{height}, but got one of {photos.shape[3]}x{photos.shape[2]}; "
                "connect the image they were found in."
            )
        check_interrupt()
        faces = faces_in_boxes(photos, [boxes], [scores], models.get_detector("built-in"))
        check_seen(faces, len(boxes), "regions")
        measured = measure_faces(photos, faces, PhotoBar(1).over(len(faces)))
        return io.NodeOutput(PhotoFaces(tuple(measured), ((height, width),)))


class FacesToSegs(io.ComfyNode):
    """Crops as regions of the Impact Pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "FacesToSegs",
            INTEROP,
            ("Impact Pack SEGS", "face to SEGS"),
            display_name="Faces to SEGS",
            description="Gives the cropped faces of one image to the nodes of the Impact Pack.",
            inputs=[
                CropsSocket.Input(
                    "crops", tooltip="From Crop Faces. Its margin decides how much around a face is in the region."
                ),
                io.Image.Input("image", tooltip="The image that was cropped."),
            ],
            outputs=[SegsSocket.Output(display_name="segs", tooltip="One region for each face; none are fine.")],
        )

    @classmethod
    def execute(cls, crops: Crops, image: Tensor) -> io.NodeOutput:
        """See the class."""
        photos = photos_of(image)
        _check_single(len(crops.photos))
        if crops.photos != tuple((photos.shape[2], photos.shape[3]) for _ in photos):
            height, width = crops.photos[0]
            raise ValueError(
                f"The faces were cropped from one image of {width}x{height}, but got {len(photos)} of "
                f"{photos.shape[3]}x{photos.shape[2]}; connect the image that was cropped."
            )
        segs = []
        for part in crop_regions(crops):
            left, top, right, bottom = part.region
            pixels = photos[0, :, top:bottom, left:right].movedim(0, -1)[None].cpu().numpy().copy()
            box = tuple(v + 0.5 for v in part.face.box)
            segs.append(SEG(pixels, part.mask.cpu().numpy(), part.face.score, list(part.region), box, "face"))
        return io.NodeOutput((crops.photos[0], segs))


def _check_single(photos: int) -> None:
    if photos != 1:
        raise ValueError(
            f"SEGS describe one image, but got a batch of {photos}; take one at a time (core's Image From Batch)."
        )
