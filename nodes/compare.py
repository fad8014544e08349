"""Compare Identity."""

from __future__ import annotations

import json
from dataclasses import replace

from comfy_api.latest import io
from torch import Tensor

from ..core.faces.preview import draw_rows
from ..core.records import References
from ..core.references.compare import Compared, compare_identity
from ..core.reports import face_record
from . import models
from .progress import PhotoBar
from .references import detect_all, references_input
from .sockets import REFERENCES, image_of, photos_of, schema

SHOWN = 16  # faces in the picture


class CompareIdentity(io.ComfyNode):
    """How much like the person, before and after."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "CompareIdentity",
            REFERENCES,
            ("face similarity", "ArcFace score", "identity score"),
            display_name="Compare Identity",
            description="Measures whether a face looks more like the person after than before.",
            inputs=[
                io.Image.Input("before", tooltip="The photographs, or the crops, before they were restored."),
                io.Image.Input("after", tooltip="The same afterwards, of the same size."),
                references_input("Each face is compared with the person it is most like."),
                io.Image.Input(
                    "truth",
                    optional=True,
                    tooltip="The undamaged photographs, where there are any, in place of references.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="scores",
                    tooltip="How alike each face is, before and after, the gain, and how sure the person is, as JSON.",
                ),
                io.Image.Output(
                    display_name="picture", tooltip="The faces side by side: before, after, compared with whom."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, before: Tensor, after: Tensor, references: References | None = None, truth: Tensor | None = None
    ) -> io.NodeOutput:
        """See the class."""
        given = {"before": before, "after": after} | ({} if truth is None else {"truth": truth})
        photos = [photos_of(image, name) for name, image in given.items()]
        if (references is None) == (truth is None):
            got = "neither" if truth is None else "both"
            raise ValueError(f"Got {got} of references and truth; connect exactly one of them.")
        if len({len(batch) for batch in photos}) > 1:
            counts = ", ".join(f"{len(batch)} as {name}" for name, batch in zip(given, photos, strict=True))
            raise ValueError(f"Got batches of different lengths: {counts}; give as many of each.")
        embedder = models.get_embedder(references.embedder if references else "auto")
        bar = PhotoBar(len(before))
        compared: list[Compared] = []
        for number in range(len(before)):
            first, second, *true = (batch[number, None] for batch in photos)
            against = true[0] if true else references
            assert against is not None, "there is one of them"
            found = compare_identity(first, second, detect_all, embedder, against)
            compared += [replace(c, face=replace(c.face, image=number)) for c in found]
            bar.finish()
        scores = {"embedder": embedder.name, "faces": [_record(c) for c in compared]}
        picture = draw_rows([_row(c) for c in compared[:SHOWN]])
        return io.NodeOutput(json.dumps(scores, indent=1), image_of(picture[None]))


def _record(c: Compared) -> dict[str, object]:
    scores = {"before": round(c.before, 3), "after": round(c.after, 3), "gain": round(c.after - c.before, 3)}
    return {"image": c.face.image, **face_record(c.face), "person": c.person, **scores, "sure": round(c.sure, 3)}


def _row(c: Compared) -> list[tuple[Tensor, str]]:
    words = [f"before {c.before:.2f}", f"after {c.after:.2f}"]
    words += [c.person or "truth"] * (len(c.pictures) - 2)
    return list(zip(c.pictures, words, strict=True))
