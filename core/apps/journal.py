"""What was done with each picture, written down as it is done: a command that is broken off leaves a report behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .files import Job, UsageError

Entry = dict[str, Any]
DONE = ("restored", "unchanged", "skipped")


class Journal:
    """Entries beside the report, a line each, until the report itself is written.

    Args:
        report: where that goes, or None for no journal.

    Raises:
        UsageError: no file can be written there.
    """

    def __init__(self, report: Path | None) -> None:
        self._path = report and report.with_name(f".{report.name}.part")
        self._earlier = _earlier(report, self._path) if report and self._path else {}
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        except OSError as error:
            raise UsageError(
                f"--report {report} cannot be written ({error.strerror}); expected a file in a folder that can be "
                "written to. Give another place."
            ) from error

    def earlier(self, job: Job) -> Entry:
        """What the same command said of a picture that it has done before; nothing where that is not known."""
        return self._earlier.get((str(job.source), str(job.target)), {})

    def add(self, entry: Entry) -> None:
        """Write down what was done; before the picture appears, so that none is there that the report does not know.

        Raises:
            OSError: it could not be written.
        """
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps(entry))  # a line before it may be broken off

    def end(self) -> None:
        """The report is written: the journal is no longer needed."""
        if self._path:
            self._path.unlink(missing_ok=True)


def _earlier(report: Path, journal: Path) -> dict[tuple[str, str], Entry]:
    """The entries of a report and of a journal that was left behind, as far as they can be read."""
    try:
        entries = list(json.loads(report.read_text(encoding="utf-8"))["pictures"])
    except (OSError, ValueError, KeyError, TypeError):
        entries = []
    try:
        lines = journal.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue  # empty, or broken off in the middle
    found = (entry for entry in entries if isinstance(entry, dict) and entry.get("status") in DONE)
    return {(str(entry.get("input")), str(entry.get("output"))): entry for entry in found}
