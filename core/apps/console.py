"""All that the command line says: words to stderr, past the progress bar; data for machines to stdout or a file."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

# What can go wrong with one file; it fails, and the others go on.
FAILURES = (OSError, ValueError, RuntimeError, MemoryError)
INTERRUPTED = 130  # exit code: 128 + SIGINT, as shells report it
PACKAGE = __name__.removesuffix(".core.apps.console")


def say(text: str) -> None:
    """One line for the user; where it cannot be said (a full disk, a closed window), the work goes on."""
    with suppress(OSError, ValueError):
        tqdm.write(text, file=sys.stderr)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


@contextmanager
def spoken_log() -> Iterator[TextIO]:
    """Say what the package logs (from INFO on); yields stdout, and keeps out of it what other libraries print."""
    handler, logger, stdout = _Handler(), logging.getLogger(PACKAGE), sys.stdout
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with redirect_stdout(sys.stderr):
            yield stdout
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def write_json(data: Any, target: Path | TextIO) -> None:
    """Data as JSON to a stream, or into a file (whole or not at all); numbers that JSON cannot hold become null.

    Raises:
        OSError: the file could not be written.
    """
    text = json.dumps(_finite(data), indent=2, allow_nan=False) + "\n"
    if isinstance(target, Path):
        from ..files.images import write_atomically

        write_atomically(target, text.encode())
    else:
        target.write(text)


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def count(number: int, noun: str) -> str:
    """``1 face``, ``2 faces``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def one_line(error: BaseException, path: Path | None) -> str:
    """What an error says, with the file it is about; of one that nobody foresaw also its kind."""
    text = " ".join(str(error).split())
    if not isinstance(error, (*FAILURES, ImportError)) or not text:
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return text if path is None or str(path) in text else f"{path}: {text}"
