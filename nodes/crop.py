"""Crop Faces."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.faces.crop import crop_faces, with_pixels
from ..core.faces.mending import mended, mended_crops
from ..core.records import Crops, PhotoFaces
from .progress import check_interrupt
from .sockets import (
    FACES,
    CropsSocket,
    FacesSocket,
    check_same_photos,
    crop_pictures,
    given_mask,
    image_of,
    mask_of,
    photos_of,
    schema,
)

MULTIPLE = 64
GREY = 0.5


class CropFaces(io.ComfyNode):
    """Faces cut out, upright and of one size."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "CropFaces",
            FACES,
            ("face crop", "align faces", "FFHQ crop"),
            display_name="Crop Faces",
            description="Cuts the faces out, turned upright and of one size, for restorers, samplers and upscalers.",
            inputs=[
                FacesSocket.Input("faces", tooltip="From Detect Faces or Select Faces."),
                io.Image.Input("image", tooltip="The image in which the faces were found."),
                io.Int.Input(
                    "size",
                    default=512,
                    min=MULTIPLE,
                    max=2048,
                    step=MULTIPLE,
                    tooltip="Side of the crops [px]. 512 for restorers; 768 or 1024 for samplers that work at these "
                    "sizes, at two to four times the time and memory.",
                ),
                io.Float.Input(
                    "margin",
                    default=0.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How much to show around the face, as a part of its size. 0 for restorers; 0.25 to 0.5 "
                    "gives a sampler hair and background to go by, at the cost of detail in the face.",
                ),
                io.Mask.Input(
                    "damage_mask",
                    optional=True,
                    tooltip="Folds, scratches, tears and ink in the photograph, of its size: filled from around "
                    "them, so that nothing there is taken for a face.",
                ),
            ],
            outputs=[
                CropsSocket.Output(display_name="crops", tooltip="For the restoring nodes and for Paste Faces."),
                io.Image.Output(
                    display_name="image",
                    tooltip="The faces as a batch. Without faces one grey tile, which Paste Faces ignores.",
                ),
                io.Mask.Output(
                    display_name="mask", tooltip="Where each face will be pasted; also for a sampler's noise mask."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, faces: PhotoFaces, image: Tensor, size: int, margin: float, damage_mask: Tensor | None = None
    ) -> io.NodeOutput:
        """See the class."""
        photos = photos_of(image)
        check_same_photos(photos, faces)
        damage = given_mask(damage_mask, len(photos), "damage_mask")
        if size % MULTIPLE:
            raise ValueError(f"The size was {size}; expected a multiple of {MULTIPLE}, as samplers need it.")
        seen = photos if damage is None else mended(photos, damage)
        crops = crop_faces(seen, faces.faces, size, margin, check_interrupt)
        return io.NodeOutput(crops, tiles_of(crops.pixels), mask_of(_or_blank(crops.masks, 0.0)))


def tiles_of(pictures: Tensor) -> Tensor:
    """Pictures (N,3,S,S) of the crops as an IMAGE; without faces one grey tile, since a batch cannot be empty."""
    return image_of(_or_blank(pictures, GREY))


def crops_seen(crops: Crops, image: Tensor | None, damage_mask: Tensor | None) -> Crops:
    """The crops as a restorer is to see them: with the pictures that came back for them, and damage filled."""
    if image is not None:
        crops = with_pixels(crops, crop_pictures(image, crops, "image"))
    damage = given_mask(damage_mask, len(crops), "damage_mask")
    return crops if damage is None else mended_crops(crops, damage)


def _or_blank(pictures: Tensor, value: float) -> Tensor:
    return pictures if len(pictures) else torch.full((1, *pictures.shape[1:]), value)
