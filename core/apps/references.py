"""``resemblance references``, and the references that ``resemblance restore`` is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

from ..faces.detect import detect_faces, load_detector
from ..faces.identity import Embedders, load_embedders
from ..files.images import read_photo
from ..records import References, Restorer
from ..references.encoding import check_restorer, encode_references
from ..references.saving import load_references, save_references
from ..references.views import ReferencePhoto
from ..reports import references_record
from ..restorers.table import load_restorer
from .arguments import ReferencesArguments, RestoreArguments
from .console import FAILURES, count, one_line, say, write_json
from .files import SUFFIXES, Job, UsageError, find

SAVED = ".safetensors"
UNNAMED = "reference"  # the person on photographs that lie in no folder of their own


def run(args: ReferencesArguments, stdout: TextIO) -> int:
    """Encode photographs of people and save them; who they are, and what was refused, goes to stdout as JSON.

    Returns:
        The exit code: 0 all photographs are used, 1 some are not.

    Raises:
        UsageError: the command cannot be carried out; nothing was done.
    """
    if args.out.suffix.lower() != SAVED:
        raise UsageError(f"-o {args.out}: expected a file that ends in {SAVED}.")
    if args.out.exists() and not args.overwrite:
        raise UsageError(f"-o {args.out} is there already; --overwrite replaces it.")
    try:
        references, _ = references_from(args.paths, load_restorer(args.weights, args.device), args)
    except (*FAILURES, ImportError) as error:
        raise UsageError(one_line(error, None)) from error
    save_references(references, args.out)
    people = ", ".join(f"{person.name} ({count(len(person), 'photograph')})" for person in references.people)
    say(f"{args.out}: {people}")
    write_json(references_record(references), stdout)
    return 1 if references.refused else 0


def references_from(
    paths: Sequence[str], restorer: Restorer, args: RestoreArguments | ReferencesArguments
) -> tuple[References, Embedders]:
    """Encode the photographs at some paths, beside the references that are saved in files there.

    Raises:
        UsageError: a path leads to no photograph, or none of them can be used.
        OSError, ValueError: as those of :mod:`..references.encoding` that load and encode references.
    """
    saved = _merged([load_references(Path(path)) for path in paths if path.lower().endswith(SAVED)])
    if saved:
        check_restorer(saved, restorer)
    photographs = _photographs(path for path in paths if not path.lower().endswith(SAVED))
    embedders = load_embedders(saved.embedder if saved else args.embedder, args.device, args.models_dir)
    unread: list[tuple[str, str]] = []
    found = saved
    if photographs:
        # The limits on the faces of pictures are not for references: a face left out could be the one that is meant.
        detect = partial(detect_faces, backend=load_detector(args.detector, args.models_dir, args.device))
        found = encode_references(_read(photographs, unread), restorer, embedders, detect, saved)
        found = replace(found, refused=found.refused + tuple(unread))
    if not found or not found.people:
        reasons = "; ".join(f"{source}: {reason}" for source, reason in found.refused) if found else ""
        raise UsageError(
            f"None of the references can be used ({reasons or 'they hold nobody'}). Give a good photograph."
        )
    return found, embedders


def _photographs(paths: Iterable[str]) -> list[tuple[Job, str]]:
    """Photographs and whom they show: each folder is a person, and so is each folder in it."""
    photographs = []
    for argument in paths:
        path = Path(argument)
        found = [(job, UNNAMED) for job in find([argument])]
        if path.is_dir():
            folders = [path, *sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))]
            found = [(job, folder.resolve().name) for folder in folders for job in find([str(folder)])]
            found = [(job, person) for job, person in found if job.passed_over or not job.problem]
            people = {person for _, person in found}
            for folder in folders[1:]:
                if folder.resolve().name not in people:
                    say(f"{folder}: no pictures are in it; it is passed over.")
        if not found:
            raise UsageError(f"{path}: neither the folder nor those in it hold pictures; expected {SUFFIXES}.")
        problems = [job.problem for job, _ in found if job.problem and not job.passed_over]
        if problems:
            raise UsageError(problems[0])
        photographs += found
    return photographs


def _read(photographs: list[tuple[Job, str]], unread: list[tuple[str, str]]) -> Iterator[ReferencePhoto]:
    """The photographs one by one; those that cannot be read go into `unread`."""
    for job, person in photographs:
        if job.problem:  # a picture in a folder, of a format that is not read here
            say(f"Passed over: {job.problem}")
            unread.append((str(job.source), job.problem))
            continue
        try:
            yield ReferencePhoto(read_photo(job.source).pixels, str(job.source), person)
        except FAILURES as error:
            text = one_line(error, job.source)
            say(f"Failed: {text}")
            unread.append((str(job.source), text))


def _merged(files: list[References]) -> References | None:
    if not files:
        return None
    first, *others = files
    for other in others:
        if (other.restorer, other.embedder, other.embedded_by) != (first.restorer, first.embedder, first.embedded_by):
            raise UsageError("The saved references were made by different restorers or embedders; make them anew.")
    people = [person for file in files for person in file.people]
    names = [person.name for person in people]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"'{name}' is in two of the saved references; expected each person once.")
    refused, doubted = (tuple(pair for file in files for pair in getattr(file, key)) for key in ("refused", "doubted"))
    return replace(first, people=tuple(people), refused=refused, doubted=doubted)
