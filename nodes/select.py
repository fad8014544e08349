"""Select Faces."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.faces.detect import ORDERS
from ..core.faces.select import NUMBERED, Choice, select_faces
from ..core.records import PhotoFaces
from .sockets import FACES, FacesSocket, schema


class SelectFaces(io.ComfyNode):
    """Some of the faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "SelectFaces",
            FACES,
            ("filter faces", "pick face", "face index"),
            display_name="Select Faces",
            description="Keeps the faces you name, or those of a size and sharpness. Each keeps its number.",
            inputs=[
                FacesSocket.Input("faces", tooltip="From Detect Faces, or any node that gives faces."),
                io.Combo.Input(
                    "order",
                    options=[NUMBERED, *ORDERS],
                    default=NUMBERED,
                    tooltip="What the indices count: number means the numbers that Detect Faces draws; with "
                    "large-small, 1 is the largest face of each image, and so on.",
                ),
                io.String.Input(
                    "indices",
                    default="",
                    placeholder="all, or 1, 3-5",
                    tooltip="Which faces of each image to keep, from 1, such as 1, 3-5. Empty keeps all.",
                ),
                io.Int.Input(
                    "min_size",
                    default=0,
                    min=0,
                    max=16384,
                    tooltip="Leaves out faces whose box is smaller [px]. Raise it to leave the background alone.",
                ),
                io.Int.Input(
                    "max_size",
                    default=0,
                    min=0,
                    max=16384,
                    tooltip="Leaves out faces whose box is larger [px]; 0 is no limit. Use it to send small and large "
                    "faces through different samplers.",
                ),
                io.Float.Input(
                    "min_sharpness",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Leaves out faces less sharp than this (0 is nothing but blur, 1 crisp): those blurred on "
                    "purpose, behind the subject.",
                ),
                io.Float.Input(
                    "max_sharpness",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Leaves out faces sharper than this. Lower it to 0.8 or so to leave good faces alone.",
                ),
            ],
            outputs=[
                FacesSocket.Output(display_name="faces", tooltip="Those that were kept."),
                io.Int.Output(display_name="count", tooltip="How many were kept, over all images."),
            ],
        )

    @classmethod
    def execute(
        cls,
        faces: PhotoFaces,
        order: str,
        indices: str,
        min_size: int,
        max_size: int,
        min_sharpness: float,
        max_sharpness: float,
    ) -> io.NodeOutput:
        """See the class."""
        choice = Choice(order, indices, min_size, max_size, min_sharpness, max_sharpness)
        kept = PhotoFaces(tuple(select_faces(faces.faces, choice)), faces.photos)
        return io.NodeOutput(kept, len(kept))
