"""Which pictures are read, and where each result goes."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..files.formats import FORMATS, READ_ONLY, is_picture, why_not

SUFFIXES = ", ".join((*FORMATS, *READ_ONLY))
LOSSLESS = ".png"  # of what is read in a format that is not written


class UsageError(ValueError):
    """A command line that cannot be carried out; nothing was done."""


@dataclass(frozen=True)
class Job:
    """One picture to read.

    Attributes:
        source: the file.
        target: where its result goes; relative to the output folder until that is known.
        problem: why it cannot be read, one sentence; such a job fails, and the others go on.
        passed_over: nobody named it: it is a picture in a folder, of a format that is not read here.
    """

    source: Path
    target: Path
    problem: str | None = None
    passed_over: bool = False


def find(arguments: Iterable[str], out: Path | None = None, recursive: bool = False) -> list[Job]:
    """Files, folders and patterns → jobs, in the order they were given, each file once.

    A folder gives the pictures that lie in it (with `recursive` also those in its folders, whose names are kept below
    the output folder). Hidden files and what lies in `out` are left out.
    """
    jobs: dict[Path, Job] = {}
    for argument in arguments:
        for job in _expand(argument, out, recursive):
            jobs.setdefault(job.source.resolve(), job)
    return list(jobs.values())


def _expand(argument: str, out: Path | None, recursive: bool) -> Iterator[Job]:
    path = Path(argument)
    if path.is_dir():
        files = sorted(path.rglob("*") if recursive else path.iterdir())
        jobs = [_file(file, path) for file in files if is_picture(file.suffix) and file.is_file()]
        jobs = [job for job in jobs if not any(part.startswith(".") for part in job.target.parts)]
        if out is not None and out.resolve() != path.resolve():
            jobs = [job for job in jobs if out.resolve() not in job.source.resolve().parents]
        wanted = f"expected one of {SUFFIXES}. " + ("" if recursive else "Its own folders are read with --recursive.")
        yield from jobs or [Job(path, path, f"{path}: the folder holds no pictures; {wanted}")]
    elif path.exists():
        yield _file(path)
    elif glob.has_magic(argument):
        names = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
        found = [_file(Path(name)) for name in names if Path(name).is_file()]
        yield from found or [Job(path, path, f"{path}: nothing fits this pattern; expected pictures. Check it.")]
    else:
        yield Job(path, Path(path.name), f"Cannot find '{path}'. Check the spelling, or drag the file here.")


def _file(path: Path, folder: Path | None = None) -> Job:
    """A file that was named, or one that was found in a folder."""
    reason = why_not(path.suffix)
    problem = f"{path}: {reason}; expected one of {SUFFIXES}." if reason else None
    if folder is None:
        return Job(path, Path(path.name), problem)
    return Job(path, path.relative_to(folder), problem, passed_over=bool(problem))


def folder_beside(arguments: Sequence[str], name: str) -> Path:
    """Where results go that nobody named a place for: a folder beside the first picture, or beside its folder."""
    first = Path(arguments[0])
    within = first.resolve().parent if first.exists() else first.parent
    return (Path() if glob.has_magic(str(within)) else within) / name


def resolve_outputs(jobs: list[Job], out: Path, suffix: str | None = None) -> list[Job]:
    """The same jobs with their targets: `out` itself where it names a picture, else files below it.

    A result keeps its picture's name; `suffix` (with its dot) replaces one of another format, and .png one that is not
    written. Where two results would then have one name, as a.jpg's and a.webp's, the suffix is added: a.jpg.png.

    Raises:
        UsageError: two results would go to one file, or one onto a picture that is read, or `out` does not fit.
    """
    if out.suffix.lower() in FORMATS and not out.is_dir():
        if len(jobs) != 1:
            raise UsageError(
                f"{len(jobs)} photos but one output name ({out}). If a name has spaces, put it in quotes; else give a "
                "folder."
            )
        if suffix and FORMATS[suffix] != FORMATS[out.suffix.lower()]:
            raise UsageError(f"-o {out} and --format {suffix[1:]} name different formats; leave one of them out.")
        aimed = [Job(jobs[0].source, out, jobs[0].problem)]
    else:
        if out.suffix.lower() in READ_ONLY and not out.is_dir():
            raise UsageError(f"-o {out}: this format is read but not written; expected one of {', '.join(FORMATS)}.")
        if out.exists() and not out.is_dir():
            raise UsageError(f"-o {out} is a file; expected a folder, or a file with one of {SUFFIXES}.")
        names = Counter(_renamed(job.target, suffix) for job in jobs if not job.problem)
        aimed = [replace(job, target=out / _renamed(job.target, suffix, names)) for job in jobs]
    _check([job for job in aimed if not job.problem])
    return aimed


def _renamed(name: Path, suffix: str | None, taken: Mapping[Path, int] | None = None) -> Path:
    """The name of a result; of `taken` those that are counted more than once are left to whom they belong."""
    kind = FORMATS.get(name.suffix.lower())
    if kind and (suffix is None or kind == FORMATS[suffix]):
        return name
    suffix = suffix or LOSSLESS
    new = name.with_suffix(suffix)
    return name.with_name(name.name + suffix) if taken and taken[new] > 1 else new


def _check(jobs: list[Job]) -> None:
    takers: dict[Path, Path] = {}
    for job in jobs:
        other = takers.setdefault(job.target.resolve(), job.source)
        if other != job.source:
            raise UsageError(
                f"{other} and {job.source} would both be written to {job.target}; run them into two folders."
            )
    forbid_overwriting([job.target for job in jobs], jobs)


def is_done(target: Path) -> bool:
    """Whether a result is there already: a file with something in it."""
    return target.is_file() and target.stat().st_size > 0


def forbid_overwriting(targets: Iterable[Path], jobs: Iterable[Job]) -> None:
    """Refuse to write onto a picture that is to be read, under whatever name.

    Raises:
        UsageError: one of the targets is such a picture.
    """
    read = {(stat.st_dev, stat.st_ino) for stat in (job.source.stat() for job in jobs if job.source.exists())}
    for target in targets:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in read:
            raise UsageError(f"{target} is a picture to be read and would be overwritten; give another place.")
