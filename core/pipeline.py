"""A whole photograph in, a whole photograph out: detect, crop, restore, paste."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .faces.crop import check_photos, crop_faces, pick_crops, template_view
from .faces.detect import Detect
from .faces.identity import Embedder
from .faces.measure import measure_quality
from .faces.paste import paste_faces
from .guidance import Guidance, Guided, Proof, restore_guided
from .records import Crops, Face, Restorer
from .references.encoding import check_restorer
from .references.matching import Match, labelled, labels_or_matches
from .references.views import Refusal
from .refinement import RefinedFace, Refinement
from .restorers.token_restorer import TokenRestorer
from .stages import Mix, draw_faces

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
class LeftAlone:
    """A face that nothing was done to, and why."""

    reason: str


@dataclass(frozen=True)
class Restored:
    """What was done to a face.

    Attributes:
        strength: above 0 to 1, how much of the restored face was blended in.
        seconds: its share of the time the network took.
        guided: whether it was restored with references.
        unused: (source, reason) of its person's photographs that were passed over.
        proof: what the references did to it, where that was asked for.
        refined: what refinement did to it, where there was one.
    """

    strength: float
    seconds: float
    guided: bool
    unused: tuple[Refusal, ...]
    proof: Proof | None
    refined: RefinedFace | None


@dataclass(frozen=True)
class FaceReport:
    """What happened to one face.

    Attributes:
        face: as detected, with the quality that was measured before anything was done.
        outcome: what was done.
        match: whom it shows and why, where there were references.
    """

    face: Face
    outcome: Restored | LeftAlone
    match: Match | None = None

    @property
    def restored(self) -> Restored | None:
        """What was done; None where the face was left alone."""
        return self.outcome if isinstance(self.outcome, Restored) else None

    @property
    def guided(self) -> bool:
        """Whether it was restored with references."""
        return isinstance(self.outcome, Restored) and self.outcome.guided


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
        faces: those of the photographs, or what finds them: photographs → faces, such as
            :func:`.faces.detect.detect_faces` with its options filled in.
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
    chosen: list[int] = []
    labels: list[Face] = []
    strengths: list[float] = []
    for number, (face, match) in enumerate(zip(crops.faces, matches, strict=True)):
        quality = face.quality
        assert quality, "all faces were measured"
        if match:
            face = labelled(face, match)
        strength = strength_for(quality.damage) if options.strength is None else options.strength
        if quality.sharpness < options.min_sharpness:
            reason = f"its sharpness {quality.sharpness:.2f} is less than {options.min_sharpness}"
            reports.append(FaceReport(face, LeftAlone(reason), match))
        elif strength == 0:
            reason = f"it is sharp (damage {quality.damage:.2f})" if options.strength is None else "strength is 0"
            reports.append(FaceReport(face, LeftAlone(reason), match))
        else:
            chosen.append(number)
            labels.append(face)
            strengths.append(strength)
    if len(chosen) < len(crops):
        crops = pick_crops(crops, chosen)
    crops = replace(crops, faces=tuple(labels))
    restored, outcomes = _restore_all(crops, strengths, restorer, options, guidance, reader, progress)
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
    treated = zip(labels, outcomes, chosen, strict=True)
    reports += [FaceReport(face, outcome, matches[number]) for face, outcome, number in treated]
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
    crops = replace(crops, faces=faces)
    restored, outcomes = _restore_all(crops, [strength] * len(crops), restorer, options, guidance, reader, progress)
    if options.strength is not None:
        restored = torch.lerp(template_view(crops), restored, options.strength)
    rows = zip(faces, outcomes, matches, strict=True)
    return restored, tuple(FaceReport(face, outcome, match) for face, outcome, match in rows)


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
    strengths: Sequence[float],
    restorer: Restorer,
    options: RestoreOptions,
    guidance: Guidance | None,
    reader: Embedder | None,
    progress: Progress | None,
) -> tuple[Tensor, list[Restored]]:
    """The template of each crop restored: with references the faces that name a person, as ever the others."""
    fidelity, refinement = options.fidelity, options.refinement
    started = time.perf_counter()
    faces = template_view(crops)
    done = [Guided(None, (), None)] * len(crops)
    result = torch.empty_like(faces)
    blind = list(range(len(crops)))
    given: set[int] = set()
    if guidance and guidance.strength > 0 and isinstance(restorer, TokenRestorer):
        named = [n for n in blind if crops.faces[n].person]
        for start in range(0, len(named), BATCH):
            part = named[start : start + BATCH]
            guided = restore_guided(
                pick_crops(crops, part),
                restorer,
                [crops.faces[n].person for n in part],
                guidance,
                fidelity,
                [strengths[n] for n in part],
                progress,
                refinement,
                reader,
            )
            for n, one in zip(part, guided, strict=True):
                done[n] = replace(one, face=None)
                if one.face is not None:
                    result[n] = _checked(one.face[None], faces[n, None], restorer.name)[0]
                    blind.remove(n)
                    given.add(n)
    if refinement.steps and isinstance(restorer, TokenRestorer):
        for start in range(0, len(blind), BATCH):
            part = blind[start : start + BATCH]
            drawn = draw_faces(pick_crops(crops, part), restorer, Mix(fidelity), refinement, None, reader, progress)
            result[part] = _checked(drawn.faces, faces[part], restorer.name)
            for n, refined in zip(part, drawn.refined, strict=True):
                done[n] = replace(done[n], refined=refined)
    elif blind:
        result[blind] = _restore(faces[blind] if len(blind) < len(faces) else faces, restorer, fidelity, progress)
    seconds = (time.perf_counter() - started) / max(1, len(crops))
    return result, [
        Restored(strengths[n], seconds, n in given, one.unused, one.proof, one.refined) for n, one in enumerate(done)
    ]


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
            bad.append(FaceReport(face, LeftAlone(str(error))))
    return crop_faces(photos, good), bad


def _together(pictures: Tensor | list[Tensor]) -> Tensor:
    return pictures[0][None] if len(pictures) == 1 else torch.stack(list(pictures))
