"""Load Restorer."""

from __future__ import annotations

from comfy_api.latest import io

from . import models
from .sockets import FACES, RestorerSocket, schema


class LoadRestorer(io.ComfyNode):
    """A restorer from a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "LoadRestorer",
            FACES,
            ("CodeFormer loader", "GFPGAN loader", "face restore model"),
            display_name="Load Restorer",
            description="Loads the network that restores faces: the built-in one, or a file you have.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=models.restorer_names(),
                    default=models.BUILT_IN,
                    tooltip="Files are looked for in models/facerestore_models and models/face_restore; only those "
                    "that can be loaded are listed. Change it to compare restorers. CodeFormer takes about ten times "
                    "as long as the built-in one; GFPGAN and ONNX files have no tokens and no fidelity.",
                ),
            ],
            outputs=[RestorerSocket.Output(display_name="restorer", tooltip="For every node that restores.")],
        )

    @classmethod
    def fingerprint_inputs(cls, file: str | None) -> str:
        """Load again when the file on disk changes."""
        return models.restorer_state(file)

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        """See the class."""
        return io.NodeOutput(models.get_restorer(file))
