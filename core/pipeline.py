"""A whole photograph in, a whole photograph out: detect, crop, restore, paste."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .crop import check_photos, crop_faces, pick_crops, template_view
from .detect import Detect
from .guidance import Guidance, Proof, restore_guided
from .identity import Embedder
from .matching import Match, labelled, labels_or_matches
from .measure import measure_quality
from .paste import paste_faces
from .records import Crops, Face
from .references import Refusal, check_restorer
from .refining import RefinedFace, Refinement
from .restorers import Restorer
from .stages import Mix, draw_faces
from .token_restorer import TokenRestorer

log = logging.getLogger(__name__)

Progress = Callable[[], None]

# Damage up to which a face is left alone, and from which it is restored in full. Measured on eight of the odd half
# of London's validation people: undamaged 0.04 (at most 0.08), JPEG at quality 30 0.08, where half the restored face is
# best by LPIPS, blurred by 1 px 0.15, where it is three quarters, JPEG at 10 0.4, lightly damaged 0.4, moderately 0.95.
# Good photographs of other kinds may lie a little higher.
SHARP, DAMAGED = 0.12, 0.32
LARGEST_SCALE = 8
BATCH = 8  # faces given to a restorer at once; fewer where the device's memory does not hold them


@dataclass(frozen=True)
class RestoreOptions:
    """How faces are restored.

    Attributes:
        fidelity: 0 (what was learned) to 1 (what is seen); None is the restorer's own choice.
        strength: 0 to 1, how much of the restored face is blended in; None follows the damage measured on each face, so
            that a sharp face is left alone and a mildly damaged one stays close to what it was.
        min_sharpness: faces less sharp than this (0 to 1) are left alone: those blurred on purpose, in the background.
        refinement: how their latents are refined before they are drawn.
    """

    fidelity: float | None = None
    strength: float | None = None
    min_sharpness: float = 0.0
    scale: float = 1.0
    refinement: Refinement = field(default_factory=Refinement)

    def __post_init__(self) -> None:
        for name in ("fidelity", "strength", "min_sharpness"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} was {value}; expected 0 to 1.")
        if not 0 < self.scale <= LARGEST_SCALE:
            raise ValueError(f"scale was {self.scale}; expected above 0 and at most {LARGEST_SCALE}.")


@dataclass(frozen=True)
class FaceReport:
    """What happened to one face.

    Attributes:
        face: as detected, with the quality that was measured before anything was done.
        strength: how much of the restored face was blended in; 0 where it was left alone.
        reason: why it was left alone, or None.
        seconds: its share of the time the network took.
        match: whom it shows and why, where there were references.
        guided: whether it was restored with references.
        unused: (source, reason) of its person's photographs that were passed over.
        proof: what the references did to it, where that was asked for.
        refined: what refinement did to it, where there was one.
    """

    face: Face
    strength: float
    reason: str | None
    seconds: float
    match: Match | None = None
    guided: bool = False
    unused: tuple[Refusal, ...] = ()
    proof: Proof | None = None
    refined: RefinedFace | None = None


@dataclass(frozen=True, eq=False)
class RestoredPhotos:
    """Restored photographs.

    Attributes:
        pixels: (B,3,H,W) in [0,1], H and W times `scale`; where the masks are 0 exactly what was given (or its resized
            form).
        masks: (B,1,H,W), how much of each pixel was replaced.
        faces: all that were found, also those left alone.
    """

    pixels: Tensor
    masks: Tensor
    faces: tuple[FaceReport, ...]


def restore_photos(
    photos: Tensor,
    restorer: Restorer,
    faces: Sequence[Face] | Detect,
    options: RestoreOptions | None = None,
    progress: Progress | None = None,
    in_place: bool = False,
    guidance: Guidance | None = None,
    reader: Embedder | None = None,
) -> RestoredPhotos:
    """Restore every face of some photographs.

    Memory beyond input and output grows with the number of faces (6 MB each), not with the photographs; of long batches
    give a few at a time.

    Args:
        photos: (B,3,H,W) float RGB in [0,1].
        restorer: what restores an aligned face.
        faces: those of the photographs, or what finds them: photographs → faces, such as :func:`.detect.detect_faces`
            with its options filled in.
        options: default :class:`RestoreOptions`.
        progress: called between the network's blocks, and for each face that is cropped and each photograph that is
            pasted into; what it raises stops the work.
        in_place: write into `photos`, for callers that need the original no more.
        guidance: photographs of the people, for the faces that match them. The others are restored as without, and so
            are all by a restorer without tokens, with a warning.
        reader: the built-in embedder; read from disk where refinement or matching needs it and it is not given.

    Raises:
        ValueError: photographs that are no such tensor or hold NaN, a restorer that returned NaN, or references that
            another restorer encoded; or refinement by a restorer that has no prior.
    """
    options = options or RestoreOptions()
    options = replace(options, refinement=options.refinement.settled(restorer))
    check_photos(photos)
    _check_finite(photos)
    crops, reports = _crop(photos, faces(photos) if callable(faces) else faces, progress)
    measured = zip(crops.faces, measure_quality(crops), strict=True)
    crops = replace(crops, faces=tuple(replace(face, quality=quality) for face, quality in measured))
    matches = _match(crops, restorer, guidance, reader)
    treated, chosen = [], []
    for number, (face, match) in enumerate(zip(crops.faces, matches, strict=True)):
        quality = face.quality
        assert quality, "all faces were measured"
        if match:
            face = labelled(face, match)
        strength = strength_for(quality.damage) if options.strength is None else options.strength
        if quality.sharpness < options.min_sharpness:
            reason = f"its sharpness {quality.sharpness:.2f} is less than {options.min_sharpness}"
            reports.append(FaceReport(face, 0.0, reason, 0.0, match))
        elif strength == 0:
            reason = f"it is sharp (damage {quality.damage:.2f})" if options.strength is None else "strength is 0"
            reports.append(FaceReport(face, 0.0, reason, 0.0, match))
        else:
            treated.append(FaceReport(face, strength, None, 0.0, match))
            chosen.append(number)
    if len(chosen) < len(crops):
        crops = pick_crops(crops, chosen)
    crops = replace(crops, faces=tuple(report.face for report in treated))
    restored, treated = _restore_all(crops, treated, restorer, options, guidance, reader, progress)
    strengths = [report.strength for report in treated]
    # A list goes through without the copies that a tensor of several photographs costs.
    pixels, masks = paste_faces(
        list(photos),
        crops,
        restored,
        strength=strengths,
        scale=options.scale,
        in_place=in_place,
        progress=progress,
    )
    reports += treated
    reports.sort(key=lambda report: (report.face.image, report.face.index))
    return RestoredPhotos(_together(pixels), _together(masks), tuple(reports))


def restore_crops(
    crops: Crops,
    restorer: Restorer,
    options: RestoreOptions | None = None,
    progress: Progress | None = None,
    guidance: Guidance | None = None,
    reader: Embedder | None = None,
) -> tuple[Tensor, tuple[FaceReport, ...]]:
    """Restore the template's view of each crop.

    Args:
        crops: aligned faces. Where one carries a label (:attr:`.records.Face.person`), all labels hold; else they are
            matched.
        restorer: what restores them.
        options: fidelity, strength and refinement are used; a strength of None is 1.
        progress, guidance, reader: as in :func:`restore_photos`.

    Returns:
        (N,3,512,512) float32 in [0,1], on the crops' device, and what happened to each.

    Raises:
        ValueError: as :func:`restore_photos`.
    """
    options = options or RestoreOptions()
    options = replace(options, refinement=options.refinement.settled(restorer))
    _check_finite(crops.pixels)
    strength = 1.0 if options.strength is None else options.strength
    matches = _match(crops, restorer, guidance, reader)
    faces = tuple(labelled(f, match) if match else f for f, match in zip(crops.faces, matches, strict=True))
    reports = [FaceReport(face, strength, None, 0.0, match) for face, match in zip(faces, matches, strict=True)]
    crops = replace(crops, faces=faces)
    restored, reports = _restore_all(crops, reports, restorer, options, guidance, reader, progress)
    if options.strength is not None:
        restored = torch.lerp(template_view(crops), restored, options.strength)
    return restored, tuple(reports)


def _match(
    crops: Crops, restorer: Restorer, guidance: Guidance | None, reader: Embedder | None
) -> Sequence[Match | None]:
    """Whom each face shows, where references are to be used."""
    if not guidance:
        return [None] * len(crops)
    if not isinstance(restorer, TokenRestorer):
        log.warning("'%s' restores whole faces and cannot read references: it goes on without them.", restorer.name)
        return [Match(None, None, None, f"{restorer.name} cannot read references")] * len(crops)
    check_restorer(guidance.references, restorer)
    return labels_or_matches(crops, guidance.references, guidance.embedder, guidance.threshold, guidance.manual, reader)


def _restore_all(
    crops: Crops,
    reports: list[FaceReport],
    restorer: Restorer,
    options: RestoreOptions,
    guidance: Guidance | None,
    reader: Embedder | None,
    progress: Progress | None,
) -> tuple[Tensor, list[FaceReport]]:
    """The template of each crop restored: with references the faces that name a person, as ever the others."""
    fidelity, refinement = options.fidelity, options.refinement
    started = time.perf_counter()
    faces, reports = template_view(crops), list(reports)
    result = torch.empty_like(faces)
    blind = list(range(len(crops)))
    if guidance and guidance.strength > 0 and isinstance(restorer, TokenRestorer):
        named = [n for n in blind if crops.faces[n].person]
        for start in range(0, len(named), BATCH):
            part = named[start : start + BATCH]
            people, strengths = [crops.faces[n].person for n in part], [reports[n].strength for n in part]
            guided = restore_guided(
                pick_crops(crops, part),
                restorer,
                people,
                guidance,
                fidelity,
                strengths,
                progress,
                refinement,
                reader,
            )
            for n, one in zip(part, guided, strict=True):
                given = one.face is not None
                reports[n] = replace(reports[n], guided=given, unused=one.unused, proof=one.proof, refined=one.refined)
                if one.face is not None:
                    result[n] = _checked(one.face[None], faces[n, None], restorer.name)[0]
                    blind.remove(n)
    if refinement.steps and isinstance(restorer, TokenRestorer):
        for start in range(0, len(blind), BATCH):
            part = blind[start : start + BATCH]
            drawn = draw_faces(pick_crops(crops, part), restorer, Mix(fidelity), refinement, None, reader, progress)
            result[part] = _checked(drawn.faces, faces[part], restorer.name)
            for n, refined in zip(part, drawn.refined, strict=True):
                reports[n] = replace(reports[n], refined=refined)
    elif blind:
        result[blind] = _restore(faces[blind] if len(blind) < len(faces) else faces, restorer, fidelity, progress)
    seconds = (time.perf_counter() - started) / max(1, len(crops))
    return result, [replace(report, seconds=seconds) for report in reports]


def _restore(faces: Tensor, restorer: Restorer, fidelity: float | None, progress: Progress | None) -> Tensor:
    """Faces through the restorer, as many at a time as the device takes."""
    result = torch.empty_like(faces)
    start, batch = 0, BATCH
    while start < len(faces):
        part = faces[start : start + batch]
        try:
            restored = restorer.restore(part, fidelity, progress)
        except torch.cuda.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
            log.warning("The device's memory is too small: going on with %d faces at once.", batch)
            continue
        result[start : start + batch] = _checked(restored, part, restorer.name)
        start += batch
    return result


def _checked(restored: Tensor, faces: Tensor, name: str) -> Tensor:
    """What a restorer made of faces, unless it is NaN; a grey face stays grey."""
    if not bool(torch.isfinite(restored).all()):
        raise ValueError(f"{name} returned NaN; expected a face. Nothing was pasted; run it in float32.")
    restored = restored.clamp(0, 1).to(faces)
    grey = (faces == faces[:, :1]).flatten(1).all(1)
    restored[grey] = restored[grey].mean(1, keepdim=True)
    return restored


def _check_finite(pictures: Tensor) -> None:
    # The sum is many times quicker, and finite unless a value is not (or is beyond all reason).
    if not bool(pictures.sum().isfinite()) and not bool(torch.isfinite(pictures).all()):
        raise ValueError("The picture holds NaN or infinite values; expected numbers from 0 to 1. Check what made it.")


def strength_for(lost: float) -> float:
    """How much of a restored face to blend in, by how damaged the face is (:attr:`.records.FaceQuality.damage`)."""
    x = min(max((lost - SHARP) / (DAMAGED - SHARP), 0.0), 1.0)
    return x * x * (3 - 2 * x)


def _crop(photos: Tensor, faces: Sequence[Face], progress: Progress | None) -> tuple[Crops, list[FaceReport]]:
    """Crops of all faces whose landmarks lie like a face's, and reports on the others."""
    try:
        return crop_faces(photos, faces, progress=progress), []
    except ValueError:
        pass  # it names one face; which others are bad is found one by one
    good, bad = [], []
    for face in faces:
        try:
            crop_faces(photos, [face])
            good.append(face)
        except ValueError as error:
            log.warning("%s It is left alone.", error)
            bad.append(FaceReport(face, 0.0, str(error), 0.0))
    return crop_faces(photos, good), bad


def _together(pictures: Tensor | list[Tensor]) -> Tensor:
    return pictures[0][None] if len(pictures) == 1 else torch.stack(list(pictures))
