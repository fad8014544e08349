"""What was found and done, as JSON holds it."""

from __future__ import annotations

from collections.abc import Iterable

from .guidance import Proof
from .pipeline import FaceReport, LeftAlone
from .records import Face, References
from .references.matching import Match
from .references.views import Refusal
from .refinement import RefinedFace


def face_record(face: Face) -> dict[str, object]:
    """A face; coordinates in px, as in :mod:`.geometry`."""
    record: dict[str, object] = {
        "index": face.index,
        "box": [round(value, 2) for value in face.box],
        "score": round(face.score, 4),
        "landmarks": [[round(x, 2), round(y, 2)] for x, y in face.landmarks],
    }
    if face.quality:
        record["sharpness"] = round(face.quality.sharpness, 3)
        record["eye_distance"] = round(face.quality.size, 1)
        record["noise"] = round(face.quality.noise, 4)
        record["damage"] = round(face.quality.damage, 3)
    return record


def restored_record(report: FaceReport) -> dict[str, object]:
    """A face and what happened to it."""
    done = report.restored
    record = face_record(report.face) | {
        "strength": round(done.strength, 3) if done else 0.0,
        "left_alone": report.outcome.reason if isinstance(report.outcome, LeftAlone) else None,
        "seconds": round(done.seconds, 3) if done else 0.0,
    }
    if report.match:
        record["person"] = report.match.person
        record["match"] = match_record(report.match)
        record["with_references"] = report.guided
        record["unused_references"] = refused_records(done.unused if done else ())
    if done and done.refined:
        record["refined"] = refined_record(done.refined)
    if done and done.proof:
        record |= proof_record(done.proof)
    return record


def match_record(match: Match) -> dict[str, object]:
    """How well a face matched, and why it did or did not."""
    numbers = {"chance": match.chance, "score": match.score}
    return {key: None if x is None else round(x, 3) for key, x in numbers.items()} | {"reason": match.reason}


def proof_record(proof: Proof) -> dict[str, object]:
    """What references did to a face, in numbers."""
    return {
        "identity_to_references": {
            "before": round(proof.before, 3),
            "restored_without": round(proof.blind, 3),
            "restored_with": round(proof.after, 3),
        },
        "taken": {source: round(share, 3) for source, share in proof.taken},
        "invented": round(proof.invented, 3),
    }


def refined_record(refined: RefinedFace) -> dict[str, object]:
    """What refinement did to a face; without a candidate it stays as it was."""
    spread = None if refined.spread is None else round(refined.spread, 4)
    return {"candidate": refined.candidate, "stopped": refined.stopped, "spread": spread}


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
