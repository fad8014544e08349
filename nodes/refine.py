"""Refine Latent: what a damaged face only hints at, drawn towards what faces look like."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import repeat

import torch
from comfy_api.latest import io

from ..core.faces.preview import tinted
from ..core.records import FaceTokens, References
from ..core.references.matching import labels_or_matches
from ..core.references.transfer import photographs_for
from ..core.refinement import AUTO_STEPS, STEPS, RefinedFace, RefinementOptions, refine_tokens, refined_faces
from ..core.reports import refined_record
from . import models
from .progress import working
from .references import labelled_tokens, matched_record, references_input
from .shown import faces_preview
from .sockets import AUTO, TOKENS, TokensSocket, mask_of, schema

SEEDS = 0xFFFFFFFFFFFFFFFF
WHITE = 0.2  # standard deviation of the candidates' pixels (0 to 1) from which the map is white


class RefineLatent(io.ComfyNode):
    """Latents, drawn towards clean ones."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "RefineLatent",
            TOKENS,
            ("CLR-Face", "identity guidance", "flow", "latent refinement"),
            display_name="Refine Latent",
            description="Draws what a damaged face only hints at towards what faces look like, and the person does.",
            inputs=[
                TokensSocket.Input("tokens", tooltip="From Encode Tokens, of the built-in restorer."),
                references_input("Their photographs are read, and tell who a face should look like."),
                io.Int.Input(
                    "steps",
                    default=AUTO_STEPS,
                    min=0,
                    max=STEPS,
                    tooltip="0 changes nothing. More steps are more thorough, and each takes as long again.",
                ),
                io.Float.Input(
                    "identity",
                    default=RefinementOptions.identity_scale,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How strongly the person steers, as the face itself and its references tell. 0 costs "
                    "nothing; above, a step takes several times as long.",
                ),
                io.Int.Input(
                    "seed",
                    default=RefinementOptions.seed,
                    min=0,
                    max=SEEDS,
                    control_after_generate=True,
                    tooltip="Another seed is another guess at what is lost.",
                ),
                io.Int.Input(
                    "candidates",
                    default=RefinementOptions.candidates,
                    min=1,
                    max=STEPS,
                    tooltip="Above 1 so many are made of each face, and the one most like the person is taken; none "
                    "where the face as it was is more so. Each takes as long again.",
                ),
            ],
            outputs=[
                TokensSocket.Output(display_name="tokens", tooltip="For Transfer Texture, Restore and Decode Tokens."),
                io.Mask.Output(
                    display_name="identity_mask", tooltip="White where the person may steer: it was learned."
                ),
                io.Mask.Output(
                    display_name="spread_map",
                    tooltip="Where several candidates differ, and so are invented; black with one candidate.",
                ),
                io.String.Output(display_name="report", tooltip="What was done with each face, and why not, as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls,
        tokens: FaceTokens,
        steps: int,
        identity: float,
        seed: int,
        candidates: int,
        references: References | None = None,
    ) -> io.NodeOutput:
        """See the class."""
        options = RefinementOptions(steps, identity, seed, candidates)
        records: list[dict[str, object]] = [
            {"image": face.image, "index": face.index, "number": face.number} for face in tokens.crops.faces
        ]
        people, named = None, tokens
        if references is not None:
            matches = labels_or_matches(tokens.crops, references, models.get_embedders(references.embedder))
            records = [matched_record(*pair) for pair in zip(tokens.crops.faces, matches, strict=True)]
            named = labelled_tokens(tokens, matches)
            people = photographs_for(named, references)
        with working(tokens.restorer, len(tokens), f"refine {steps * candidates}") as progress:
            embedder = models.get_embedder(models.BUILT_IN) if options.needs_identity else None
            result = refine_tokens(named, options, people, embedder, progress)
        outcome = refined_faces(result)
        report = [record | refined_record(face) for record, face in zip(records, outcome, strict=True)]
        spread = torch.zeros_like(result.mask) if result.spread is None else result.spread / WHITE
        views = map(tinted, tokens.crops.pixels, torch.cat([(1 - spread) * result.mask, spread], 1).clamp(0, 1))
        shown = faces_preview(cls, tokens.crops.faces, views, map(_words, outcome, repeat(steps)))
        maps = [each.clamp(0, 1) if len(tokens) else torch.zeros(1, *each.shape[1:]) for each in (result.mask, spread)]
        # Each node matches the faces by itself, so labels are not passed on.
        refined = result.tokens if named is tokens else replace(result.tokens, crops=tokens.crops)
        return io.NodeOutput(refined, *map(mask_of, maps), json.dumps(report, indent=1), ui=shown)


def _words(face: RefinedFace, steps: int) -> str:
    """What the colours over a face mean, or why it stays as it was."""
    if face.candidate is None:
        return "unchanged: " + (face.stopped or ("it was the likest" if steps else "0 steps"))
    return "may follow the person" + ("" if face.spread is None else "\ncandidates differ")


def refine_input() -> io.Input:
    """How many steps, where the rest is left as it is. Optional: older graphs do not name it."""
    return io.Int.Input(
        "refine",
        default=int(AUTO),
        min=int(AUTO),
        max=STEPS,
        optional=True,
        tooltip="Steps of refinement: they draw what the face only hints at towards what faces look like. 0 is off; "
        "auto (-1) the restorer's own choice. More is slower. Refine Latent has more settings. "
        "Only the built-in restorer can.",
    )
