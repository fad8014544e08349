"""What happened to faces, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from .pipeline import SHARP, FaceReport, LeftAlone, Restored
from .references.matching import Match

# From which damage a face is called what.
LEVELS = ((0.8, "badly damaged"), (0.35, "damaged"), (SHARP, "slightly damaged"))
FULL = 0.995  # strength from which a face counts as restored in full


def condition(severity: float) -> str:
    """How damaged a face is, in words; `severity` is 0 to 1."""
    return next((words for least, words in LEVELS if severity > least), "sharp")


def sentence(report: FaceReport) -> str:
    """What happened to a face, such as "Face 1: badly damaged, restored in full with anna's photographs, 93% sure."."""
    face, done = report.face, report.outcome
    start = f"Face {face.number}: "
    if isinstance(done, LeftAlone):
        return f"{start}left alone, because {done.reason.rstrip('.')}."
    if face.quality:
        start += f"{condition(face.quality.severity)}, "
    return f"{start}restored {_how_far(done)}{_by_whom(report)}."


def sentences(reports: Sequence[FaceReport]) -> list[str]:
    """One for each face, or one that says that there is none."""
    return [sentence(report) for report in reports] or ["No face was found."]


def whom(match: Match) -> str:
    """Whom a face shows, such as "anna, 93% sure"."""
    return "nobody" if match.person is None else f"{match.person}, {_sure(match)}"


def _how_far(done: Restored) -> str:
    far = f"by {done.blend:.0%}" if done.blend else "where it is torn"
    mended = ", with folds or scratches mended" if done.mended else ""
    return ("in full" if done.blend >= FULL else far) + mended


def _by_whom(report: FaceReport) -> str:
    match = report.match
    if match is None:
        return ""
    if not report.guided or match.person is None:
        return f" without references ({match.reason})"
    return f" with {match.person}'s photographs, {_sure(match)}"


def _sure(match: Match) -> str:
    return "as you said" if match.by_hand or match.chance is None else f"{match.chance:.0%} sure"
