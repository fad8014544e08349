"""Example Photo: pictures of generated people, so that a workflow runs before any photograph is at hand."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..core.files.images import read_photo
from .sockets import FACES, image_of, schema

FOLDER = Path(__file__).parent / "examples"
NAMES = ("woman", "man", "two people", "woman, ruined", "man, ruined")
PARTS = ("truth", "reference_1", "reference_2", "reference_3")
NONE = ""  # no photograph of the user's own: a value that the frontend looks for no picture of


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
            description="Photographs of people who do not exist, to try the other nodes with; or one of your own.",
            inputs=[
                io.Combo.Input("name", options=list(NAMES), default=NAMES[0], tooltip="Which photograph to give."),
                # Pictures can be dropped only where such an input is required.
                io.Combo.Input(
                    "own",
                    options=[NONE, *_pictures()],
                    default=NONE,
                    upload=io.UploadType.image,
                    image_folder=io.FolderType.input,
                    tooltip="A photograph of yours in place of the damaged one: drop it on this node, or choose it. "
                    "Empty is the example. The other outputs stay the example's.",
                ),
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
    def fingerprint_inputs(cls, name: str | None, own: str | None = NONE) -> str:
        """Read again when the user's file changes."""
        path = _path(own) if own else None
        return f"{name} {own} {path.stat().st_mtime_ns if path and path.is_file() else ''}"

    @classmethod
    def execute(cls, name: str, own: str = NONE) -> io.NodeOutput:
        """See the class."""
        if name not in NAMES:
            raise ValueError(f"The example was '{name}'; expected one of {', '.join(NAMES)}.")
        person, _, ruined = name.partition(", ")
        stem = person.replace(" ", "_")
        damaged = _path(own) if own else FOLDER / f"{stem}_{ruined or 'damaged'}.jpg"
        files = (damaged, *(FOLDER / f"{stem}_{part}.jpg" for part in PARTS))
        return io.NodeOutput(*(image_of(read_photo(file).pixels[None]) for file in files))


def _pictures() -> list[str]:
    """The pictures in ComfyUI's input folder."""
    folder = Path(folder_paths.get_input_directory())
    names = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    return sorted(folder_paths.filter_files_content_types(names, ["image"]))


def _path(name: str) -> Path:
    return Path(folder_paths.get_annotated_filepath(name))
