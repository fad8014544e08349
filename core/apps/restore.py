"""``resemblance restore``: pictures in, restored pictures out."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from torch import Tensor
from tqdm import tqdm

from ..faces.crop import aligned_crops
from ..faces.detect import Detect
from ..faces.identity import load_embedders
from ..faces.mending import mended
from ..faces.paste import PasteOptions
from ..faces.turned import turn_said
from ..files.images import FORMATS, Photo, encode_photo, read_photo, write_atomically, write_photo
from ..geometry import TEMPLATE_SIZE, scaling, warp
from ..loading import Models
from ..pipeline import FaceReport, RestoreOptions, check_references, restore_crops, restore_photos
from ..records import Face, References, Restorer
from ..references.matching import ENOUGH
from ..references.names import check_numbers, parse_manual
from ..references.options import ReferenceOptions
from ..refinement import RefinementOptions
from ..reports import options_record, references_record, restored_record, restorer_record
from ..restorers.table import load_restorer
from .arguments import RestoreArguments
from .console import FAILURES, INTERRUPTED, count, one_line, say, write_json
from .files import Job, UsageError, find, forbid_overwriting, is_done, resolve_outputs
from .finding import detector_from
from .journal import Entry, Journal
from .masks import check_masks, mask_of
from .references import references_from

log = logging.getLogger(__name__)
# A picture and its damage mask → the restored one, its faces, and whether anything in it was changed.
Treat = Callable[[Photo, Tensor | None], tuple[Photo, tuple[FaceReport, ...], bool]]


def run(args: RestoreArguments, stdout: TextIO) -> int:
    """Restore pictures one after the other, so that memory does not grow with their number.

    Returns:
        The exit code: 0 all done, 1 some failed or were passed over, 130 interrupted.

    Raises:
        UsageError: the command cannot be carried out; nothing was done.
    """
    jobs = resolve_outputs(find(args.paths, args.out, args.recursive), args.out, args.format and f".{args.format}")
    if isinstance(args.report, Path):
        _check_report(args.report, jobs)
    if args.aligned and args.scale != 1:
        raise UsageError("--scale does nothing for aligned crops, whose results are 512 px; leave one of them out.")
    if args.maps:
        _check_maps(args.maps, jobs)
    if args.damage_mask:
        check_masks(args.damage_mask, jobs)
    try:
        options = _options(args)
        models = Models(load_restorer(args.weights, args.device))
        options = options.resolved(models.restorer)
        _check_refinement(args, options.refinement)
        models, references = _with_references(args, models)
        if references:
            check_references(references, options.references, models)
        elif options.refinement.needs_identity:
            models = replace(models, embedders=load_embedders(device=args.device))
        if args.aligned:
            treat = _aligned(models, options, references)
        else:
            detect = detector_from(args)
            if len(jobs) == 1:  # of many pictures, not every one has every face
                detect = _with_faces_named(detect, options.references.manual)
            treat = _whole(models, options, references, detect)
    except (*FAILURES, ImportError) as error:
        raise UsageError(one_line(error, None)) from error

    journal = Journal(args.report if isinstance(args.report, Path) else None)
    entries: list[Entry] = []
    code = INTERRUPTED
    try:
        for job in tqdm(jobs, unit="picture", disable=None if len(jobs) > 1 else True):
            entries.append(_do(job, treat, args, journal))
        code = 1 if any(entry["status"] in ("failed", "passed over") for entry in entries) else 0
    except KeyboardInterrupt:
        say("Interrupted; the same command goes on from here.")
    finally:
        entries += [_entry(job, "pending", "not done yet") for job in jobs[len(entries) :]]
        counts = Counter(entry["status"] for entry in entries)
        if args.report:
            report = {
                "resemblance": version("resemblance"),
                "restorer": restorer_record(models.restorer),
                "options": options_record(options) | {"aligned": args.aligned, "grain": args.grain},
                "references": _references_record(args, models.restorer, references, options),
                "counts": counts,
                "pictures": entries,
            }
            write_json(report, args.report if isinstance(args.report, Path) else stdout)
            journal.end()
        if counts["skipped"]:
            say(f"{count(counts['skipped'], 'picture')} skipped: the output is there already; --overwrite replaces it.")
        if len(jobs) > 1:
            say(", ".join(f"{number} {status}" for status, number in counts.items()))
    return code


def _do(job: Job, treat: Treat, args: RestoreArguments, journal: Journal) -> Entry:
    """One picture from file to file; what goes wrong is said and kept in its entry."""
    if job.problem and job.passed_over:
        say(f"Passed over: {job.problem}")
        return _entry(job, "passed over", job.problem)
    if is_done(job.target) and not args.overwrite:
        return journal.earlier(job) | _entry(job, "skipped", "the output is there already")
    try:
        return _restore(job, treat, args, journal)
    except Exception as error:  # what runs a foreign network raises what it likes; the other pictures go on
        log.debug("%s", job.source, exc_info=True)
        text = one_line(error, job.source)
        say(f"Failed: {text}")
        return _entry(job, "failed", text)


def _restore(job: Job, treat: Treat, args: RestoreArguments, journal: Journal) -> Entry:
    """The picture comes last: where it is there, its maps and its entry in the journal are there, too."""
    started = time.perf_counter()
    if job.problem:
        raise ValueError(job.problem)
    if job.target.is_dir():
        raise IsADirectoryError(
            f"{job.target} is a folder; expected a place for the picture. Move or rename the folder."
        )
    photo = read_photo(job.source, args.strict)
    result, faces, changed = treat(photo, mask_of(args.damage_mask, job.source))
    if not changed and photo.format == FORMATS[job.target.suffix.lower()]:
        data, notes = job.source.read_bytes(), []
    else:
        data, left_out = encode_photo(job.target, result, args.quality)
        notes = [*photo.notes, *left_out]
    if args.maps:
        _write_maps(args.maps, job, faces, args.out)
    message = _message(faces, changed, args)
    entry = _entry(job, "restored" if changed else "unchanged", message) | {
        "notes": notes,
        "seconds": round(time.perf_counter() - started, 3),
        "faces": [restored_record(face) for face in faces],
    }
    journal.add(entry)
    write_atomically(job.target, data)
    say(f"{job.source} → {job.target}: {message}")
    return entry


def _message(faces: tuple[FaceReport, ...], changed: bool, args: RestoreArguments) -> str:
    """What was done with a picture, in words."""
    done = sum(face.restored is not None for face in faces)
    if args.aligned:
        message = "restored"
    elif not faces:
        message = "no face found, written as it is"
    else:
        message = f"{count(len(faces), 'face')}, {done or 'none'} restored" + ("" if changed else ", written as it is")
    if args.reference:
        message += f", {_guided(faces)}"
    if said := turn_said(report.face for report in faces):
        message += f", the picture seems {said}"
    return message


def _guided(faces: tuple[FaceReport, ...]) -> str:
    """How many faces were restored with references, and how sure it is whose they are; why not, where none was."""
    given = [face.match.reason for face in faces if face.guided and face.match]
    if given:
        return f"{len(given)} with references ({'; '.join(given)})"
    why = dict.fromkeys(face.match.reason for face in faces if face.match and face.restored)
    return "none with references" + (f" ({'; '.join(why)})" if why else "")


def _options(args: RestoreArguments) -> RestoreOptions:
    """What the options of the command say.

    Raises:
        UsageError: an option that does nothing without another one.
        ValueError: a number out of range.
    """
    if args.strength is not None and not 0 <= args.strength <= 1:
        raise UsageError(f"--strength was {args.strength:g}; expected 0 to 1.")
    candidates = 1 if args.candidates is None else args.candidates
    refinement = RefinementOptions(args.refine, args.identity or 0.0, args.seed or 0, candidates)
    if not args.reference:
        for name in ("match", "match_threshold", "maps"):
            if getattr(args, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} needs --reference; give photographs, or leave it out.")
    diagnostics = args.report is not None or args.maps is not None
    manual = parse_manual(args.match or "")
    references = ReferenceOptions(args.reference_strength, args.match_threshold, manual, diagnostics)
    paste = PasteOptions(scale=args.scale, grain_match=float(args.grain))
    return RestoreOptions(args.fidelity, args.strength, args.min_sharpness, references, refinement, paste, args.mend)


def _check_refinement(args: RestoreArguments, refinement: RefinementOptions) -> None:
    given = [name for name in ("identity", "seed", "candidates") if getattr(args, name) is not None]
    if given and not refinement.steps:
        raise UsageError(f"--{given[0]} needs --refine; give steps from 1 up, or leave it out.")


def _with_references(args: RestoreArguments, models: Models) -> tuple[Models, References | None]:
    """The references that were given, and the models with what they were embedded by."""
    if not args.reference:
        return models, None
    if models.restorer.with_tokens is None:
        say(f"{_unreadable(models.restorer)}: faces are restored without them.")
        return models, None
    references, embedders = references_from(args.reference, models.restorer, args)
    return replace(models, embedders=embedders), references


def _references_record(
    args: RestoreArguments, restorer: Restorer, references: References | None, options: RestoreOptions
) -> dict[str, object] | None:
    if references is None:
        return {"unused": _unreadable(restorer)} if args.reference else None
    used = options.references
    threshold = ENOUGH if used.match_threshold is None else used.match_threshold
    return references_record(references) | {"strength": used.strength, "match_threshold": threshold}


def _unreadable(restorer: Restorer) -> str:
    return f"{restorer.name} restores whole faces and cannot read references"


def _check_report(report: Path, jobs: list[Job]) -> None:
    forbid_overwriting([report], jobs)
    if report.is_dir():
        raise UsageError(f"--report {report} is a folder; expected a file. Name one in it.")
    if report.resolve() in (job.target.resolve() for job in jobs):
        raise UsageError(f"--report {report} is also where a picture goes; give another place.")


def _check_maps(maps: Path, jobs: list[Job]) -> None:
    if any(maps.resolve() in job.source.resolve().parents for job in jobs):
        raise UsageError(f"--maps {maps}: pictures are read from there; give another folder.")
    if maps.exists() and not maps.is_dir():
        raise UsageError(f"--maps {maps} is a file; expected a folder.")


def _write_maps(maps: Path, job: Job, faces: tuple[FaceReport, ...], out: Path) -> None:
    """Two pictures for each face that was restored with references, named after the result and the face's number."""
    place = job.target.name if job.target == out else job.target.relative_to(out)
    for report in faces:
        found = report.restored and report.restored.diagnostics
        if found:
            stem = f"{place}.face{report.face.number}"
            write_photo(maps / f"{stem}.attribution.png", Photo(found.attribution))
            write_photo(maps / f"{stem}.invention.png", Photo(found.invention.expand(3, -1, -1)))


def _with_faces_named(detect: Detect, manual: Mapping[int, str | None]) -> Detect:
    """The detector, for a picture in which all faces that are named must be."""

    def found(photos: Tensor) -> Sequence[Face]:
        faces = detect(photos)
        check_numbers(manual, faces)
        return faces

    return found


def _whole(models: Models, options: RestoreOptions, references: References | None, detect: Detect) -> Treat:
    def treat(photo: Photo, damage: Tensor | None) -> tuple[Photo, tuple[FaceReport, ...], bool]:
        torn = None if damage is None else damage[None]
        result = restore_photos(photo.pixels[None], models, detect, options, references, in_place=True, damage=torn)
        pixels, alpha = result.pixels[0], photo.alpha
        if alpha is not None and alpha.shape[1:] != pixels.shape[1:]:
            factor = pixels.shape[2] / alpha.shape[2], pixels.shape[1] / alpha.shape[1]
            alpha = warp(alpha, scaling(*factor), (pixels.shape[1], pixels.shape[2])).clamp(0, 1)
        changed = options.paste.scale != 1 or any(face.restored for face in result.faces)
        return replace(photo, pixels=pixels, alpha=alpha), result.faces, changed

    return treat


def _aligned(models: Models, options: RestoreOptions, references: References | None) -> Treat:
    """The whole picture is one aligned face; a square of another size is brought to 512 px first, and stays so."""

    def treat(photo: Photo, damage: Tensor | None) -> tuple[Photo, tuple[FaceReport, ...], bool]:
        height, width = photo.pixels.shape[1:]
        if height != width:
            raise ValueError(
                f"the picture is {width}x{height}; with --aligned a square crop is expected, aligned as FFHQ's are. "
                "Leave --aligned out to have its faces found."
            )
        pixels, alpha = photo.pixels, photo.alpha
        if damage is not None:
            (pixels,) = mended([pixels], [damage])
        if width != TEMPLATE_SIZE:
            pixels = _to_template(pixels)
            alpha = None if alpha is None else _to_template(alpha)
        crops = aligned_crops(pixels[None])
        restored, faces = restore_crops(crops, models, options, references)
        told = references or options.refinement.steps
        return replace(photo, pixels=restored[0], alpha=alpha), faces if told else (), True

    return treat


def _to_template(picture: Tensor) -> Tensor:
    affine = scaling(TEMPLATE_SIZE / picture.shape[-1])
    return warp(picture, affine, (TEMPLATE_SIZE, TEMPLATE_SIZE)).clamp(0, 1)


def _entry(job: Job, status: str, message: str) -> Entry:
    return {"input": str(job.source), "output": str(job.target), "status": status, "message": message}
