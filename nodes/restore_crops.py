"""Restore Crops: the everyday middle for every kind of restorer."""

from __future__ import annotations

import json

from comfy_api.latest import io
from torch import Tensor

from ..core.faces.crop import into_crops
from ..core.loading import Models
from ..core.pipeline import RestoreOptions, restore_crops
from ..core.records import Crops, References, Restorer
from ..core.references.options import ReferenceOptions
from ..core.refinement import RefinementOptions
from ..core.reports import restored_record
from . import models
from .crop import crops_seen, tiles_of
from .progress import working
from .references import references_input
from .refine import refine_input
from .sockets import AUTO, FACES, CropsSocket, or_none, restorer_input, schema
from .transfer import strength_input


def fidelity_input() -> io.Input:
    """How close to the input."""
    return io.Float.Input(
        "fidelity",
        default=AUTO,
        min=AUTO,
        max=1.0,
        step=0.05,
        tooltip="0 is most restored, 1 closest to the input. Raise it when the person is not recognised, lower it when "
        "damage shows. auto (-1) is the restorer's own choice: 1 for the built-in one, 0.5 for CodeFormer; "
        "GFPGAN and its like have none to set. Costs nothing.",
    )


class RestoreCrops(io.ComfyNode):
    """Crops in, restored crops out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "RestoreCrops",
            FACES,
            ("CodeFormer", "GFPGAN", "face restoration", "enhance face"),
            display_name="Restore Crops",
            description="Restores cropped faces with any restorer.",
            inputs=[
                CropsSocket.Input("crops", tooltip="From Crop Faces."),
                restorer_input(),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Pictures to restore in place of the crops' own, one for each: a sampler's or an "
                    "upscaler's. Connect Crop Faces' image here and the node can be bypassed.",
                ),
                fidelity_input(),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the restored face is mixed in: 0 is the crop as it was. Lower it when the "
                    "result is too smooth. Costs nothing.",
                ),
                references_input("Faces take texture from the photographs of the person they show."),
                strength_input("reference_strength", optional=True),
                refine_input(),
                io.Mask.Input(
                    "damage_mask",
                    optional=True,
                    tooltip="Folds, scratches, tears and ink in the crops, one mask for each: filled from around "
                    "them before the restorer sees them.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image", tooltip="One picture for each crop, for Paste Faces or a sampler."
                ),
                io.String.Output(display_name="report", tooltip="What was done with each face, and why, as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls,
        crops: Crops,
        fidelity: float,
        strength: float,
        restorer: Restorer | None = None,
        image: Tensor | None = None,
        references: References | None = None,
        reference_strength: float = 1.0,
        refine: int = int(AUTO),
        damage_mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """See the class."""
        restorer = restorer or models.get_restorer()
        crops = crops_seen(crops, image, damage_mask)
        used = ReferenceOptions(reference_strength, diagnostics=True)
        options = RestoreOptions(
            or_none(fidelity), strength, references=used, refinement=RefinementOptions(None if refine < 0 else refine)
        ).resolved(restorer)
        chosen = models_for(restorer, references)
        with working(restorer, len(crops), kind_of(references, options)) as progress:
            restored, faces = restore_crops(crops, chosen, options, references, progress)
        report = [{"image": face.face.image, **restored_record(face)} for face in faces]
        return io.NodeOutput(tiles_of(into_crops(crops, restored)), json.dumps(report, indent=1))


def models_for(restorer: Restorer, references: References | None) -> Models:
    """The restorer, and where there are references what they were embedded by."""
    return Models(restorer, models.get_embedders(references.embedder) if references else None)


def kind_of(references: References | None, options: RestoreOptions) -> str:
    """Of work, for the bar."""
    return f"{'guided' if references else 'restore'} {options.refinement.steps}"
