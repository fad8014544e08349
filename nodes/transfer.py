"""Transfer Texture: from the references into the tokens."""

from __future__ import annotations

import json
from dataclasses import replace

from comfy_api.latest import io

from ..core.records import FaceTokens, References
from ..core.references.matching import labels_or_matches
from ..core.references.transfer import attribution_map, shares_taken, transfer_texture
from ..core.reports import refused_records
from . import models
from .crop import tiles_of
from .progress import working
from .references import labelled_tokens, matched_record, references_input
from .shown import faces_preview
from .sockets import REFERENCES, TokensSocket, schema


class TransferTexture(io.ComfyNode):
    """Texture of the person's other photographs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "TransferTexture",
            REFERENCES,
            ("reference restoration", "ENTED", "texture transfer"),
            display_name="Transfer Texture",
            description="Takes texture from the references of the person that each face belongs to.",
            inputs=[
                TokensSocket.Input("tokens", tooltip="From Encode Tokens."),
                references_input("Encoded by the restorer that made the tokens.", optional=False),
                strength_input("strength"),
            ],
            outputs=[
                TokensSocket.Output(display_name="tokens", tooltip="For Restore Tokens and Decode Tokens."),
                io.Image.Output(
                    display_name="attribution_map",
                    tooltip="Which photograph gave what: a colour for each, in the order of the report.",
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="Who each face is, how sure that is, and how much each photograph gave, as JSON.",
                ),
            ],
        )

    @classmethod
    def execute(cls, tokens: FaceTokens, references: References, strength: float) -> io.NodeOutput:
        """See the class."""
        matches = labels_or_matches(tokens.crops, references, models.get_embedders(references.embedder))
        with working(tokens.restorer, len(tokens), "transfer") as progress:
            result = transfer_texture(labelled_tokens(tokens, matches), references, strength, progress=progress)
        report, taken = [], shares_taken(result)
        for n, (face, match) in enumerate(zip(tokens.crops.faces, matches, strict=True)):
            shares = {source: round(share, 3) for source, share in taken[n]}
            unused = refused_records(result.unused[n])
            report.append({**matched_record(face, match), "taken": shares, "unused_references": unused})
        given = replace(result.tokens, crops=tokens.crops)  # each node matches the faces by itself
        attribution = attribution_map(result)
        words = ("\n".join(f"{source} {share:.0%}" for source, share in each) or "nothing taken" for each in taken)
        shown = faces_preview(cls, tokens.crops.faces, attribution, words)
        return io.NodeOutput(given, tiles_of(attribution), json.dumps(report, indent=1), ui=shown)


def strength_input(name: str, optional: bool = False) -> io.Input:
    """How much is taken from references. Optional where older graphs do not name it."""
    return io.Float.Input(
        name,
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.05,
        optional=optional,
        tooltip="How much is taken from the references. 0 changes nothing; lower it when a face takes on too much of "
        "them. Without references it does nothing.",
    )
