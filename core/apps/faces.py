"""``resemblance faces``: which faces are found in pictures, numbered."""

from __future__ import annotations

from typing import Any, TextIO

from tqdm import tqdm

from ..faces.detect import Detect
from ..faces.preview import draw_faces
from ..files.images import Photo, read_photo, write_photo
from ..reports import face_record
from .arguments import FacesArguments
from .console import FAILURES, INTERRUPTED, count, one_line, say, write_json
from .files import Job, UsageError, find, resolve_outputs
from .finding import detector_from


def run(args: FacesArguments, stdout: TextIO) -> int:
    """Find faces: previews go into the folder (or file) ``args.out``, and what was found to stdout, as lines or JSON.

    Returns:
        The exit code: 0 all done, 1 some failed, 130 interrupted.

    Raises:
        UsageError: the command cannot be carried out; nothing was done.
    """
    jobs = resolve_outputs(find(args.paths, args.out, args.recursive), args.out)
    try:
        detect = detector_from(args)
    except (*FAILURES, ImportError) as error:
        raise UsageError(one_line(error, None)) from error
    pictures: list[dict[str, Any]] = []
    code = 0
    try:
        for job in tqdm(jobs, unit="picture", disable=None if len(jobs) > 1 else True):
            try:
                faces = _find(job, detect, args.overwrite)
            except Exception as error:  # what runs a foreign network raises what it likes; the other pictures go on
                say(f"Failed: {one_line(error, job.source)}")
                pictures.append({"input": str(job.source), "error": one_line(error, job.source)})
                code = 1
            else:
                say(f"{job.source} → {job.target}: {count(len(faces), 'face')}")
                pictures.append({"input": str(job.source), "preview": str(job.target), "faces": faces})
    except KeyboardInterrupt:
        say("Interrupted.")
        code = INTERRUPTED
    if args.json:
        write_json(pictures, stdout)
    else:
        stdout.writelines(f"{line}\n" for picture in pictures for line in _lines(picture))
    return code


def _lines(picture: dict[str, Any]) -> list[str]:
    """What was found in a picture, for people."""
    lines = [f"{picture['input']}: " + (count(len(picture["faces"]), "face") if "faces" in picture else "failed")]
    for face in picture.get("faces", ()):
        x0, y0, x1, y1 = face["box"]
        turned = ", its picture is turned" if face["turned"] else ""
        lines.append(f"  face {face['number']}: {x1 - x0:.0f}x{y1 - y0:.0f} px, {face['score']:.0%} sure{turned}")
    return lines


def _find(job: Job, detect: Detect, overwrite: bool) -> list[dict[str, object]]:
    if job.problem:
        raise ValueError(job.problem)
    photo = read_photo(job.source)
    faces = detect(photo.pixels[None])
    if job.target.exists() and not overwrite:
        say(f"{job.target} is there already and stays as it is; --overwrite replaces it.")
    else:
        write_photo(job.target, Photo(draw_faces(photo.pixels, faces), icc=photo.icc))
    return [face_record(face) for face in faces]
