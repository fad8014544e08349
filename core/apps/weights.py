"""``resemblance inspect``: what files of weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

from ..restorers.table import describe
from .arguments import InspectArguments
from .console import FAILURES, one_line, say, write_json


def run(args: InspectArguments, stdout: TextIO) -> int:
    """Say what each file is, read from its header alone, as JSON on stdout.

    Returns:
        The exit code: 0 all are restorers that can be used, 1 some are not.
    """
    found: list[dict[str, Any]] = []
    code = 0
    paths: list[Path | None] = [*args.weights] or [None]
    for path in paths:
        try:
            description = describe(path)
        except FAILURES as error:
            say(f"Failed: {one_line(error, path)}")
            found.append({"path": str(path), "error": one_line(error, path)})
            code = 1
            continue
        if description.architecture is None:
            say(f"{path}: holds tensors, but of no restorer that is known.")
            code = 1
        found.append(vars(description) | {"path": str(description.path)})
    write_json(found, stdout)
    return code
