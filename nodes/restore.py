"""Restore Faces: all in one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core.faces.mending import mended
from ..core.faces.paste import LARGEST_SCALE, PasteOptions
from ..core.pipeline import RestoreOptions, restore_photos
from ..core.records import References, Restorer
from ..core.references.names import check_names, check_numbers, parse_manual
from ..core.references.options import ReferenceOptions
from ..core.refinement import RefinementOptions
from ..core.reports import restored_record, restorer_record
from ..core.sentences import sentences
from . import models
from .detect import detector_inputs, find_faces, known_detectors
from .enlarge import resized, size_of, upscaled
from .progress import PhotoBar, working
from .references import PERSON, encode, manual_input, more_images, pictures_of, references_input
from .refine import refine_input
from .restore_crops import fidelity_input, kind_of, models_for
from .shown import Shown
from .sockets import (
    AUTO,
    FACES,
    UpscaleSocket,
    given_mask,
    new_output,
    or_none,
    photos_of,
    restorer_input,
    rows,
    schema,
)
from .transfer import strength_input

log = logging.getLogger(__name__)

SHORT_WAY = "reference_image"  # sockets for photographs of one person, with a number behind from the second on
CHUNK = 8 << 20  # photographs are restored so many pixels at a time, or one by one


class RestoreFaces(io.ComfyNode):
    """Photographs in, restored photographs out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "RestoreFaces",
            FACES,
            (
                "face restoration",
                "enhance face",
                "face enhance",
                "deblur face",
                "blurry face",
                "old photo",
                "face fix",
                "CodeFormer",
                "GFPGAN",
                "FaceDetailer",
                "ReActor restore",
            ),
            ("detector", "min_size", "min_sharpness", "manual", "refine", "mend"),
            display_name="Restore Faces",
            description="Finds the faces of photographs or video frames, restores them and puts them back. "
            "Works as it is: no file is needed.",
            is_input_list=True,
            inputs=[
                io.Image.Input("image", tooltip="Photographs, or the frames of a video as a batch."),
                restorer_input(),
                fidelity_input(),
                io.Float.Input(
                    "strength",
                    default=AUTO,
                    min=AUTO,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the restored face is blended in. At auto (-1) it follows the damage measured "
                    "on each face: sharp faces are left alone. 0 changes nothing, 1 restores all in full.",
                ),
                *detector_inputs(),
                io.Float.Input(
                    "min_sharpness",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Faces less sharp than this are left alone. Raise it to keep people in the background "
                    "blurred as they are.",
                ),
                references_input("Faces take texture from the photographs of the person they show."),
                io.Image.Input(
                    SHORT_WAY,
                    optional=True,
                    tooltip="Good photographs of one person, as a batch or a list: the short way. They are added to "
                    "references, if any.",
                ),
                strength_input("reference_strength", optional=True),
                manual_input(optional=True),
                refine_input(),
                io.Mask.Input(
                    "damage_mask",
                    optional=True,
                    tooltip="Folds, scratches, tears and ink in the photograph, of its size: filled from around "
                    "them, so that nothing there is taken for a face.",
                ),
                *more_images(SHORT_WAY, "of the same person as reference_image, of any size"),
                UpscaleSocket.Input(
                    "upscale_model",
                    optional=True,
                    tooltip="Enlarges all but the faces, which are restored and pasted at the new size. Set scale too.",
                ),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=1.0,
                    max=float(LARGEST_SCALE),
                    step=0.5,
                    optional=True,
                    tooltip="How many times larger the result is. Raise it for small photographs: a face of 40 px that "
                    "is restored and shrunk back shows nothing of it.",
                ),
                io.Boolean.Input(
                    "mend",
                    default=True,
                    optional=True,
                    tooltip="Folds, scratches and lost emulsion on faces are looked for and filled. Switch it off "
                    "where it takes something of the person for one. A damage_mask is used in any case.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image",
                    is_output_list=True,
                    tooltip="The photographs; all but the faces exactly as given.",
                ),
                io.Mask.Output(
                    display_name="mask", is_output_list=True, tooltip="How much of each pixel was replaced."
                ),
                io.String.Output(
                    display_name="report",
                    is_output_list=True,
                    tooltip="What was found and done with each face, and why, as JSON.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, detector: Sequence[str | None] = ()) -> bool | str:
        """Graphs from before 0.1.0 are accepted."""
        return known_detectors(detector)

    @classmethod
    def execute(cls, image: list[Tensor], **given: list[Any]) -> io.NodeOutput:
        """See the class; the sockets are those of :func:`_restore`."""
        if not image:
            raise ValueError("The image is an empty list; connect at least one picture.")
        for batch in image:
            photos_of(batch)  # refuses an empty one before anything is loaded
        good = pictures_of({name: given.pop(name) for name in [*given] if name.startswith(SHORT_WAY)})

        @cache
        def with_good(references: References | None, restorer: Restorer) -> References | None:
            return encode(good, restorer, PERSON, onto=references) if good else references

        shown = Shown()
        outputs = [
            _restore(**row, with_good=with_good, short_way=bool(good), shown=shown)
            for row in rows({"image": image, **given})
        ]
        return io.NodeOutput(*map(list, zip(*outputs, strict=True)), ui=shown.preview(cls))


def _restore(
    image: Tensor,
    fidelity: float,
    strength: float,
    detector: str,
    threshold: float,
    min_size: int,
    max_faces: int,
    min_sharpness: float,
    with_good: Callable[..., References | None],
    short_way: bool,
    shown: Shown,
    restorer: Restorer | None = None,
    references: References | None = None,
    reference_strength: float = 1.0,
    manual: str = "",
    refine: int = int(AUTO),
    damage_mask: Tensor | None = None,
    upscale_model: Any = None,
    scale: float = 1.0,
    mend: bool = True,
) -> tuple[Tensor, Tensor, str]:
    """A batch, its mask and report.

    Args:
        with_good: adds the photographs of the short way to references, for a restorer.
        short_way: whether there are any.
        shown: what was done to faces is added to it.
    """
    named = parse_manual(manual)
    _check_named(named, references, short_way)
    restorer = restorer or models.get_restorer()
    used = ReferenceOptions(reference_strength, manual=named, diagnostics=True)
    refinement = RefinementOptions(None if refine < 0 else refine)
    paste = PasteOptions(scale=scale)
    options = RestoreOptions(or_none(fidelity), or_none(strength), min_sharpness, used, refinement, paste, mend)
    options = options.resolved(restorer)
    references = with_good(references, restorer)
    chosen = models_for(restorer, references)
    kind = kind_of(references, options)
    count, height, width, _ = image.shape
    damage = given_mask(damage_mask, count, "damage_mask")
    size = size_of(height, width, scale)
    pictures, masks = new_output(count, *size, image.shape[3]), new_output(count, *size)
    entries: list[dict[str, Any]] = []
    began = time.perf_counter()
    bar = PhotoBar(count)
    step = max(1, CHUNK // max(height * width, size[0] * size[1]))
    for start in range(0, count, step):
        given = photos_of(image[start : start + step])
        photos = given.clone()
        found = models.get_detector(detector)
        torn = None if damage is None else damage[start : start + step]
        seen = photos if torn is None else torch.stack(mended(photos, torn))
        faces = find_faces(seen, found, threshold, min_size, max_faces)
        if count <= step:  # of a long batch, not every chunk has every face
            check_numbers(named, faces)
        part = slice(start, start + len(photos))
        larger = None if upscale_model is None else upscaled(upscale_model, image[part], scale)
        with working(restorer, len(faces), kind, lambda share: bar.step(share, len(photos))) as progress:  # noqa: B023 - used at once
            result = restore_photos(photos, chosen, faces, options, references, progress, True, torn, larger)
        pictures[part, ..., :3] = result.pixels.movedim(1, -1)
        masks[part] = result.masks[:, 0]
        if image.shape[3] > 3:
            pictures[part, ..., 3:] = resized(image[part, ..., 3:].movedim(-1, 1).float(), size).movedim(1, -1)
        shown.add(given, result.pixels, result.faces)
        for number in range(len(photos)):
            own = [report for report in result.faces if report.face.image == number]
            said = sentences(own)
            log.info("Image %d. %s", start + number, " ".join(said))
            entries.append({"image": start + number, "said": said, "faces": [restored_record(r) for r in own]})
        bar.finish(len(photos))
    report = {"restorer": restorer_record(restorer), "detector": found.name, "images": entries}
    log.info("Restore Faces took %.1f s for %d images.", time.perf_counter() - began, count)
    return pictures, masks, json.dumps(report)


def _check_named(named: Mapping[int, str | None], references: References | None, short_way: bool) -> None:
    """Names by hand are looked at before photographs are read, which takes seconds."""
    if named and references is None and not short_way:
        raise ValueError(
            "The field manual says who is who, but there are no references; connect references or reference_image, or "
            "empty the field."
        )
    check_names(filter(None, named.values()), references, [PERSON] if short_way else [])
