"""What was found and done, as JSON holds it."""

from __future__ import annotations

from collections.abc import Iterable

from .faces.turned import quarters_of
from .pipeline import FaceReport, LeftAlone, RestoreOptions
from .records import Face, References, Restorer
from .references.diagnostics import ReferenceDiagnostics
from .references.matching import Match
from .references.views import Refusal
from .refinement import RefinedFace


def face_record(face: Face) -> dict[str, object]:
    """A face; coordinates in px, as in :mod:`.geometry`. It is upright once the picture is `turned` to the left [°]."""
    record: dict[str, object] = {
        "index": face.index,
        "number": face.number,
        "box": [round(value, 2) for value in face.box],
        "score": round(face.score, 4),
        "landmarks": [[round(x, 2), round(y, 2)] for x, y in face.landmarks],
        "turned": 90 * quarters_of(face) if face.landmarks else 0,
    }
    if face.track is not None:
        record["track"] = face.track + 1
    if face.quality:
        record["sharpness"] = round(face.quality.sharpness, 3)
        record["eye_distance"] = round(face.quality.size, 1)
        record["noise"] = round(face.quality.noise, 4)
        record["damage"] = round(face.quality.severity, 3)
    return record


def restored_record(report: FaceReport) -> dict[str, object]:
    """A face and what happened to it."""
    done = report.restored
    record = face_record(report.face) | {
        "strength": round(done.blend, 3) if done else 0.0,
        "left_alone": report.outcome.reason if isinstance(report.outcome, LeftAlone) else None,
        "mended": round(done.mended, 4) if done else 0.0,
        "seconds": round(done.seconds, 3) if done else 0.0,
    }
    if report.match:
        record["person"] = report.match.person
        record["match"] = match_record(report.match)
        record["with_references"] = report.guided
        record["unused_references"] = refused_records(done.unused if done else ())
    if done and done.refined:
        record["refined"] = refined_record(done.refined)
    if done and done.diagnostics:
        record |= diagnostics_record(done.diagnostics)
    return record


def match_record(match: Match) -> dict[str, object]:
    """How well a face matched, and why it did or did not."""
    numbers = {"chance": match.chance, "score": match.score}
    return {key: None if x is None else round(x, 3) for key, x in numbers.items()} | {"reason": match.reason}


def diagnostics_record(found: ReferenceDiagnostics) -> dict[str, object]:
    """What references did to a face, in numbers."""
    return {
        "identity_to_references": {
            "before": round(found.before, 3),
            "restored_without": round(found.blind, 3),
            "restored_with": round(found.after, 3),
        },
        "taken": {source: round(share, 3) for source, share in found.taken},
        "invented": round(found.invented, 3),
    }


def refined_record(refined: RefinedFace) -> dict[str, object]:
    """What refinement did to a face; without a candidate it stays as it was."""
    spread = None if refined.spread is None else round(refined.spread, 4)
    return {"candidate": refined.candidate, "stopped": refined.stopped, "spread": spread}


def restorer_record(restorer: Restorer) -> dict[str, str]:
    """Which weights restored."""
    return {"name": restorer.name, "fingerprint": restorer.fingerprint, "licence": restorer.licence}


def options_record(options: RestoreOptions) -> dict[str, object]:
    """How faces were restored; how references were used stands with them."""
    refinement = options.refinement
    return {
        "fidelity": options.fidelity,
        "strength": options.blend,
        "min_sharpness": options.min_sharpness,
        "mend": options.mend,
        "scale": options.paste.scale,
        "refinement": {
            "steps": refinement.steps,
            "identity": refinement.identity_scale,
            "seed": refinement.seed,
            "candidates": refinement.candidates,
        },
    }


def references_record(references: References) -> dict[str, object]:
    """Who is in the references, and which photographs are not used."""
    return {
        "restorer": references.restorer,
        "embedder": references.embedder,
        "people": {person.name: list(person.sources) for person in references.people},
        "refused": refused_records(references.refused),
        "doubted": refused_records(references.doubted),
    }


def refused_records(refused: Iterable[Refusal]) -> list[dict[str, str]]:
    """Photographs that are not used, or count for less, and why."""
    return [{"photograph": source, "reason": reason} for source, reason in refused]
