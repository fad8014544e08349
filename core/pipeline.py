"""A whole photograph in, a whole photograph out: detect, crop, restore, paste."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .batches import in_batches
from .faces.crop import check_photos, crop_faces, pick_crops, template_view
from .faces.detect import Detect
from .faces.frames import pooled
from .faces.measure import measure_quality
from .faces.mending import damage_views, mended
from .faces.paste import PasteOptions, paste_faces
from .faces.scratches import mend_scratches
from .loading import Models
from .records import Crops, Face, References, Restorer
from .references.diagnostics import ReferenceDiagnostics, diagnose
from .references.encoding import check_embedders, check_restorer
from .references.matching import Match, labelled, labels_or_matches
from .references.names import check_names
from .references.options import ReferenceOptions
from .references.views import Refusal
from .refinement import RefinedFace, RefinementOptions, refine_tokens
from .stages import Drawn, Given, Mix, draw_faces

log = logging.getLogger(__name__)

Progress = Callable[[], None]

# Damage up to which a face is left alone, and from which it is restored in full. Measured on eight of the odd half
# of London's validation people: undamaged 0.04 (at most 0.08), JPEG at quality 30 0.08, where half the restored face is
# best by LPIPS, blurred by 1 px 0.15, where it is three quarters, JPEG at 10 0.4, lightly damaged 0.4, moderately 0.95.
# Good photographs of other kinds may lie a little higher.
SHARP, DAMAGED = 0.12, 0.32
BATCH = 8  # faces given to a restorer at once; fewer where the device's memory does not hold them


@dataclass(frozen=True)
class RestoreOptions:
    """How faces are restored.

    Attributes:
        fidelity: 0 (what was learned) to 1 (what is seen); None is the restorer's own choice.
        blend: 0 to 1, how much of the restored face is blended in; None follows the damage measured on each face, so
            that a sharp face is left alone and a mildly damaged one stays close to what it was. Of a face that stays
            as it is in neighbouring photographs, the frames of a film, it follows the mean.
        min_sharpness: faces less sharp than this (0 to 1) are left alone: those blurred on purpose, in the background.
        references: how photographs of the people are used.
        refinement: how latents are refined before they are drawn.
        paste: how restored faces are fitted into the photograph.
        mend: whether folds, scratches and the like on faces are looked for, and filled (:mod:`.faces.scratches`).

    Raises:
        ValueError: a number outside 0 to 1.
    """

    fidelity: float | None = None
    blend: float | None = None
    min_sharpness: float = 0.0
    references: ReferenceOptions = field(default_factory=ReferenceOptions)
    refinement: RefinementOptions = field(default_factory=RefinementOptions)
    paste: PasteOptions = field(default_factory=PasteOptions)
    mend: bool = True

    def __post_init__(self) -> None:
        for name in ("fidelity", "blend", "min_sharpness"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} was {value}; expected 0 to 1.")

    def resolved(self, restorer: Restorer) -> RestoreOptions:
        """The same with a restorer's own choices in place of None.

        Raises:
            ValueError: as :meth:`.refinement.RefinementOptions.resolved`.
        """
        return replace(self, refinement=self.refinement.resolved(restorer))


@dataclass(frozen=True)
class LeftAlone:
    """A face that nothing was done to, and why."""

    reason: str


@dataclass(frozen=True)
class Restored:
    """What was done to a face.

    Attributes:
        blend: 0 to 1, how much of the restored face was blended in; 0 where only folds and scratches were restored.
        seconds: its share of the time the network took.
        guided: whether it was restored with references.
        unused: (source, reason) of its person's photographs that were passed over.
        diagnostics: what the references did to it, where that was asked for.
        refined: what refinement did to it, where there was one.
        mended: 0 to 1, how much of it was found to be damage such as folds and scratches, and filled.
        torn: (1,S,S) in [0,1], where that is, in the face's crop; None where nothing was found.
    """

    blend: float
    seconds: float
    guided: bool
    unused: tuple[Refusal, ...]
    diagnostics: ReferenceDiagnostics | None
    refined: RefinedFace | None
    mended: float = 0.0
    torn: Tensor | None = field(default=None, compare=False, repr=False)


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
    models: Models,
    faces: Sequence[Face] | Detect,
    options: RestoreOptions | None = None,
    references: References | None = None,
    progress: Progress | None = None,
    in_place: bool = False,
    damage: Tensor | None = None,
    background: Tensor | None = None,
) -> RestoredPhotos:
    """Restore every face of some photographs.

    Memory beyond input and output grows with the number of faces (6 MB each), not with the photographs; of long batches
    give a few at a time.

    Args:
        photos: (B,3,H,W) float RGB in [0,1].
        models: what restores an aligned face; with embedders where there are references.
        faces: those of the photographs, or what finds them: photographs → faces, such as
            :func:`.faces.detect.detect_faces` with its options filled in.
        options: default :class:`RestoreOptions`.
        references: photographs of the people, for the faces that match them. The others are restored as without, and so
            are all by a restorer without tokens, with a warning.
        progress: called between the network's blocks, and for each face that is cropped and each photograph that is
            pasted into; what it raises stops the work.
        in_place: write into `photos` (or `background`), for callers that need the original no more.
        damage: (B,1,H,W) in [0,1], where folds, scratches and the like are (:mod:`.faces.mending`): nothing there is
            taken for a face, and what of it lies on a face is restored in full, however sharp the face is, unless a
            blend of 0 was asked for.
        background: the photographs, already enlarged by other means, as :func:`.faces.paste.paste_faces` takes them.

    Raises:
        ValueError: photographs that are no such tensor or hold NaN, a restorer that returned NaN, references that
            others encoded, a name that is not among them; or refinement by a restorer that has no prior.

    Example:
        >>> from pathlib import Path
        >>> from resemblance.core.faces.detect import detect_faces
        >>> from resemblance.core.files.images import read_photo
        >>> from resemblance.core.loading import load_models
        >>> models = load_models(detector="built-in")
        >>> photos = read_photo(Path("nodes/examples/woman_damaged.jpg")).pixels[None]
        >>> result = restore_photos(photos, models, detect_faces(photos, models.detector))
        >>> [report.restored.blend for report in result.faces]
        [1.0]
        >>> outside = (result.masks == 0).expand_as(photos)
        >>> torch.equal(result.pixels[outside], photos[outside])
        True
    """
    options = (options or RestoreOptions()).resolved(models.restorer)
    _check_readable(references, options.references, models)
    check_photos(photos)
    _check_finite(photos)
    seen = photos if damage is None else torch.stack(mended(photos, damage))
    crops, reports = _crop(seen, faces(seen) if callable(faces) else faces, progress)
    places = torch.zeros_like(crops.masks) if damage is None else damage_views(crops, damage) * (crops.masks > 0)
    found = torch.zeros_like(places)
    if options.mend and options.blend != 0:
        crops, found = mend_scratches(crops)
        places = torch.maximum(places, found * (crops.masks > 0))
    measured = zip(crops.faces, measure_quality(crops), strict=True)
    crops = replace(crops, faces=tuple(replace(face, quality=quality) for face, quality in measured))
    severities = pooled(crops, [face.quality.severity for face in crops.faces if face.quality])
    matches = _match(crops, models, options.references, references)
    chosen: list[int] = []
    labels: list[Face] = []
    blends: list[float] = []
    for number, (face, match) in enumerate(zip(crops.faces, matches, strict=True)):
        quality = face.quality
        assert quality, "all faces were measured"
        if match:
            face = labelled(face, match)
        blend = blend_for(severities[number]) if options.blend is None else options.blend
        if quality.sharpness < options.min_sharpness:
            reason = f"its sharpness {quality.sharpness:.2f} is less than {options.min_sharpness}"
            reports.append(FaceReport(face, LeftAlone(reason), match))
        elif blend == 0 and (options.blend is not None or not bool(places[number].any())):
            reason = f"it is sharp (damage {quality.severity:.2f})" if options.blend is None else "strength is 0"
            reports.append(FaceReport(face, LeftAlone(reason), match))
        else:
            chosen.append(number)
            labels.append(face)
            blends.append(blend)
    if len(chosen) < len(crops):
        crops = pick_crops(crops, chosen)
        places, found = places[chosen], found[chosen]
    crops = replace(crops, faces=tuple(labels))
    restored, outcomes = _restore_all(crops, blends, models, options, references, progress)
    shares = ((found * crops.masks).sum((1, 2, 3)) / crops.masks.sum((1, 2, 3)).clamp_min(1)).tolist()
    outcomes = [
        replace(each, mended=share, torn=torn) if share else each
        for each, share, torn in zip(outcomes, shares, found, strict=True)
    ]
    amounts: Sequence[float] = blends
    if bool(places.any()):
        least = torch.tensor(blends).to(places)[:, None, None, None]
        crops, amounts = replace(crops, masks=crops.masks * torch.maximum(places, least)), [1.0] * len(crops)
    # As a list: stacking several photographs into one tensor would copy them.
    pixels, masks = paste_faces(
        list(photos) if len(photos) else photos,
        crops,
        restored,
        amounts,
        options.paste,
        background=list(background) if background is not None and len(background) else background,
        in_place=in_place,
        progress=progress,
    )
    treated = zip(labels, outcomes, chosen, strict=True)
    reports += [FaceReport(face, outcome, matches[number]) for face, outcome, number in treated]
    reports.sort(key=lambda report: (report.face.image, report.face.index))
    return RestoredPhotos(_together(pixels), _together(masks), tuple(reports))


def restore_crops(
    crops: Crops,
    models: Models,
    options: RestoreOptions | None = None,
    references: References | None = None,
    progress: Progress | None = None,
) -> tuple[Tensor, tuple[FaceReport, ...]]:
    """Restore the template's view of each crop.

    Args:
        crops: aligned faces. Where one carries a label (:attr:`.records.Face.person`), all labels hold; else they are
            matched.
        models, references, progress: as in :func:`restore_photos`.
        options: nothing is left alone and nothing pasted; a blend of None is 1.

    Returns:
        (N,3,512,512) float32 in [0,1], on the crops' device, and what happened to each.

    Raises:
        ValueError: as :func:`restore_photos`.
    """
    options = (options or RestoreOptions()).resolved(models.restorer)
    _check_readable(references, options.references, models)
    _check_finite(crops.pixels)
    blend = 1.0 if options.blend is None else options.blend
    matches = _match(crops, models, options.references, references)
    faces = tuple(labelled(f, match) if match else f for f, match in zip(crops.faces, matches, strict=True))
    crops = replace(crops, faces=faces)
    restored, outcomes = _restore_all(crops, [blend] * len(crops), models, options, references, progress)
    if options.blend is not None:
        restored = torch.lerp(template_view(crops), restored, options.blend)
    rows = zip(faces, outcomes, matches, strict=True)
    return restored, tuple(FaceReport(face, outcome, match) for face, outcome, match in rows)


def blend_for(severity: float) -> float:
    """How much of a restored face to blend in, by how damaged the face is (:attr:`.records.FaceQuality.severity`)."""
    x = min(max((severity - SHARP) / (DAMAGED - SHARP), 0.0), 1.0)
    return x * x * (3 - 2 * x)


def check_references(references: References, options: ReferenceOptions, models: Models) -> None:
    """See that references can be used.

    Raises:
        ValueError: another restorer or other embedders made them, or a name given by hand is not among them.
    """
    check_embedders(references, models.telling_apart)
    check_names([name for name in options.manual.values() if name is not None], references)
    check_restorer(references, models.restorer)


def _check_readable(references: References | None, options: ReferenceOptions, models: Models) -> None:
    """See that references can be used, by a restorer that uses any."""
    if references is not None and models.restorer.with_tokens is not None:
        check_references(references, options, models)


def _match(
    crops: Crops, models: Models, options: ReferenceOptions, references: References | None
) -> Sequence[Match | None]:
    """Whom each face shows, where references are to be used."""
    if references is None:
        return [None] * len(crops)
    if models.restorer.with_tokens is None:
        name = models.restorer.name
        log.warning("'%s' restores whole faces and cannot read references: it goes on without them.", name)
        return [Match(None, None, None, f"{name} cannot read references")] * len(crops)
    return labels_or_matches(crops, references, models.telling_apart, options.match_threshold, options.manual)


def _restore_all(
    crops: Crops,
    blends: Sequence[float],
    models: Models,
    options: RestoreOptions,
    references: References | None,
    progress: Progress | None,
) -> tuple[Tensor, list[Restored]]:
    """The template of each crop restored: with references the faces that name a person, without them the others."""
    started = time.perf_counter()
    views = template_view(crops)
    result = torch.empty_like(views)
    done = [Restored(blend, 0.0, False, (), None, None) for blend in blends]
    restorer = models.restorer.with_tokens
    blind = list(range(len(crops)))

    def draw(rows: list[int], given: Given | None) -> Drawn:
        assert restorer is not None
        identity = models.telling_apart.identity if options.refinement.needs_identity else None
        some = pick_crops(crops, rows)
        return draw_faces(some, restorer, Mix(options.fidelity), options.refinement, given, identity, progress)

    def draw_given(part: slice) -> None:
        assert references is not None
        rows = named[part]
        drawn = draw(rows, Given(references, [crops.faces[n].person for n in rows], options.references.strength))
        transferred = drawn.transferred
        assert transferred is not None, "every face names somebody"
        found = _diagnosed(drawn, views[rows], [blends[n] for n in rows], models, options, references, progress)
        for place, n in enumerate(rows):
            done[n] = replace(
                done[n],
                unused=transferred.unused[place],
                refined=drawn.refined[place],
                diagnostics=found[place],
                guided=transferred.people[place] is not None,
            )
            if done[n].guided:
                result[n] = _checked(drawn.faces[place, None], views[n, None], models.restorer.name)[0]
                blind.remove(n)

    def draw_blind(part: slice) -> None:
        rows = blind[part]
        if restorer is None:
            restored = models.restorer.restore(views[rows], options.fidelity, progress)
        else:
            drawn = draw(rows, None)
            restored = drawn.faces
            for place, n in enumerate(rows):
                done[n] = replace(done[n], refined=drawn.refined[place])
        result[rows] = _checked(restored, views[rows], models.restorer.name)

    if references and options.references.strength > 0 and restorer is not None:
        named = [n for n in blind if crops.faces[n].person]
        in_batches(len(named), BATCH, draw_given)
    in_batches(len(blind), BATCH, draw_blind)
    seconds = (time.perf_counter() - started) / max(1, len(crops))
    return result, [replace(each, seconds=seconds) for each in done]


def _diagnosed(
    drawn: Drawn,
    views: Tensor,
    blends: Sequence[float],
    models: Models,
    options: RestoreOptions,
    references: References,
    progress: Progress | None,
) -> Sequence[ReferenceDiagnostics | None]:
    """What references did to some faces, where that was asked for."""
    transferred, blind = drawn.transferred, drawn.encoded
    if not options.references.diagnostics or transferred is None or not any(transferred.people):
        return [None] * len(views)
    embedders = models.telling_apart
    if options.refinement.steps:
        blind = refine_tokens(blind, options.refinement, None, embedders.identity, progress).tokens
    amounts = views.new_tensor(blends)[:, None, None, None]
    without, after = (
        torch.lerp(views, faces, amounts) for faces in (blind.restorer.decode(blind, progress), drawn.faces)
    )
    return diagnose(transferred, references, embedders.matching, views, without, after)


def _checked(restored: Tensor, faces: Tensor, name: str) -> Tensor:
    """What a restorer made of faces, unless it is NaN; a grey face stays grey."""
    if not bool(torch.isfinite(restored).all()):
        raise ValueError(f"{name} returned NaN; expected a face. Nothing was pasted; run it in float32.")
    restored = restored.clamp(0, 1).to(faces)
    grey = (faces == faces[:, :1]).flatten(1).all(1)
    restored[grey] = restored[grey].mean(1, keepdim=True)
    return restored


def _check_finite(pictures: Tensor) -> None:
    # The sum is much quicker to test: it is finite unless a value is not (or is very large).
    if not bool(pictures.sum().isfinite()) and not bool(torch.isfinite(pictures).all()):
        raise ValueError("The picture holds NaN or infinite values; expected numbers from 0 to 1. Check what made it.")


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
    if isinstance(pictures, Tensor):
        return pictures
    return pictures[0][None] if len(pictures) == 1 else torch.stack(pictures)
