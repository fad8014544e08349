"""Example Photo: pictures of generated people, so that a workflow runs before any photograph is at hand."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from ..core.files.images import read_photo
from .sockets import FACES, image_of, schema

FOLDER = Path(__file__).parent / "examples"
NAMES = ("woman", "man", "two people")
PARTS = ("damaged", "truth", "reference_1", "reference_2", "reference_3")


class ExamplePhoto(io.ComfyNode):
    """A damaged photograph, what it was, and three more of the same people."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "ExamplePhoto",
            FACES,
            ("sample image", "test image", "demo"),
            display_name="Example Photo",
            description="Photographs of people who do not exist, to try the other nodes with.",
            inputs=[
                io.Combo.Input("name", options=list(NAMES), default=NAMES[0], tooltip="Which photograph to give."),
            ],
            outputs=[
                io.Image.Output(display_name="damaged", tooltip="The photograph as it is found: blurred and noisy."),
                io.Image.Output(display_name="truth", tooltip="The same photograph undamaged, to compare with."),
                io.Image.Output(display_name="reference_1", tooltip="Another photograph of the (first) person."),
                io.Image.Output(display_name="reference_2", tooltip="Another one; of two people, the second person's."),
                io.Image.Output(display_name="reference_3", tooltip="A third one; of two people, one with both."),
            ],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        """See the class."""
        if name not in NAMES:
            raise ValueError(f"The example was '{name}'; expected one of {', '.join(NAMES)}.")
        files = (FOLDER / f"{name.replace(' ', '_')}_{part}.jpg" for part in PARTS)
        return io.NodeOutput(*(image_of(read_photo(file).pixels[None]) for file in files))
