"""``resemblance restore``: pictures in, restored pictures out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from torch import Tensor
from tqdm import tqdm

from ..faces.crop import aligned_crops
from ..faces.detect import Detect
from ..faces.identity import load_embedders
from ..faces.paste import PasteOptions
from ..files.images import FORMATS, Photo, read_photo, write_atomically, write_photo
from ..geometry import TEMPLATE_SIZE, scaling, warp
from ..loading import Models
from ..pipeline import FaceReport, RestoreOptions, check_references, restore_crops, restore_photos
from ..records import References, Restorer
from ..references.matching import ENOUGH
from ..references.names import parse_manual
from ..references.options import ReferenceOptions
from ..refinement import RefinementOptions
from ..reports import options_record, references_record, restored_record, restorer_record
from ..restorers.table import load_restorer
from .arguments import RestoreArguments
from .console import FAILURES, INTERRUPTED, count, one_line, say, write_json
from .files import Job, UsageError, find, forbid_overwriting, resolve_outputs
from .finding import detector_from
from .references import references_from

Entry = dict[str, Any]
# A picture → the restored one, its faces, and whether anything in it was changed.
Treat = Callable[[Photo], tuple[Photo, tuple[FaceReport, ...], bool]]


def run(args: RestoreArguments, stdout: TextIO) -> int:
    """Restore pictures one after the other, so that memory does not grow with their number.

    Returns:
        The exit code: 0 all done, 1 some failed, 130 interrupted.

    Raises:
        UsageError: the command cannot be carried out; nothing was done.
    """
    jobs = resolve_outputs(find(args.paths, args.out, args.recursive), args.out, args.format and f".{args.format}")
    if isinstance(args.report, Path):
        forbid_overwriting([args.report], jobs)
        if args.report in (job.target for job in jobs):
            raise UsageError(f"--report {args.report} is also where a picture goes; give another place.")
    if args.aligned and args.scale != 1:
        raise UsageError("--scale does nothing for aligned crops, whose results are 512 px; leave one of them out.")
    if args.maps:
        _check_maps(args.maps, jobs)
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
            treat = _whole(models, options, references, detector_from(args))
    except (*FAILURES, ImportError) as error:
        raise UsageError(one_line(error, None)) from error

    entries: list[Entry] = []
    code = INTERRUPTED
    try:
        for job in tqdm(jobs, unit="picture", disable=None if len(jobs) > 1 else True):
            entries.append(_do(job, treat, args))
        code = 1 if any(entry["status"] == "failed" for entry in entries) else 0
    except KeyboardInterrupt:
        say("Interrupted; the same command goes on from here.")
    finally:
        entries += [_entry(job, "pending", "not done yet") for job in jobs[len(entries) :]]
        counts = Counter(entry["status"] for entry in entries)
        if args.report:
            report = {
                "resemblance": version("resemblance"),
                "restorer": restorer_record(models.restorer),
                "options": options_record(options) | {"aligned": args.aligned},
                "references": _references_record(args, models.restorer, references, options),
                "counts": counts,
                "pictures": entries,
            }
            write_json(report, args.report if isinstance(args.report, Path) else stdout)
        if counts["skipped"]:
            say(f"{count(counts['skipped'], 'picture')} skipped: the output is there already; --overwrite replaces it.")
        if len(jobs) > 1:
            say(", ".join(f"{number} {status}" for status, number in counts.items()))
    return code


def _do(job: Job, treat: Treat, args: RestoreArguments) -> Entry:
    """One picture from file to file; what goes wrong is said and kept in its entry."""
    if job.target.exists() and not args.overwrite:
        return _entry(job, "skipped", "the output is there already")
    started = time.perf_counter()
    try:
        if job.problem:
            raise ValueError(job.problem)
        photo = read_photo(job.source)
        result, faces, changed = treat(photo)
        if not changed and photo.format == FORMATS[job.target.suffix.lower()]:
            write_atomically(job.target, job.source.read_bytes())
        else:
            write_photo(job.target, result, args.quality)
        if args.maps:
            _write_maps(args.maps, job, faces, args.out)
    except FAILURES as error:
        text = one_line(error, job.source)
        say(f"Failed: {text}")
        return _entry(job, "failed", text)
    done = sum(face.restored is not None for face in faces)
    if args.aligned:
        message = "restored"
    elif not faces:
        message = "no face found, written as it is"
    else:
        message = f"{count(len(faces), 'face')}, {done or 'none'} restored" + ("" if changed else ", written as it is")
    if args.reference:
        message += f", {_guided(faces)}"
    say(f"{job.source} → {job.target}: {message}")
    return _entry(job, "restored" if changed else "unchanged", message) | {
        "seconds": round(time.perf_counter() - started, 3),
        "faces": [restored_record(face) for face in faces],
    }


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
    paste = PasteOptions(scale=args.scale)
    return RestoreOptions(args.fidelity, args.strength, args.min_sharpness, references, refinement, paste)


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
            stem = f"{place}.face{report.face.index}"
            write_photo(maps / f"{stem}.attribution.png", Photo(found.attribution))
            write_photo(maps / f"{stem}.invention.png", Photo(found.invention.expand(3, -1, -1)))


def _whole(models: Models, options: RestoreOptions, references: References | None, detect: Detect) -> Treat:
    def treat(photo: Photo) -> tuple[Photo, tuple[FaceReport, ...], bool]:
        result = restore_photos(photo.pixels[None], models, detect, options, references, in_place=True)
        pixels, alpha = result.pixels[0], photo.alpha
        if alpha is not None and alpha.shape[1:] != pixels.shape[1:]:
            factor = pixels.shape[2] / alpha.shape[2], pixels.shape[1] / alpha.shape[1]
            alpha = warp(alpha, scaling(*factor), (pixels.shape[1], pixels.shape[2])).clamp(0, 1)
        changed = options.paste.scale != 1 or any(face.restored for face in result.faces)
        return replace(photo, pixels=pixels, alpha=alpha), result.faces, changed

    return treat


def _aligned(models: Models, options: RestoreOptions, references: References | None) -> Treat:
    """The whole picture is one aligned face; a square of another size is brought to 512 px first, and stays so."""

    def treat(photo: Photo) -> tuple[Photo, tuple[FaceReport, ...], bool]:
        height, width = photo.pixels.shape[1:]
        if height != width:
            raise ValueError(
                f"the picture is {width}x{height}; with --aligned a square crop is expected, aligned as FFHQ's are. "
                "Leave --aligned out to have its faces found."
            )
        pixels, alpha = photo.pixels, photo.alpha
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
