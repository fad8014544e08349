"""What was found and done, as JSON holds it."""

from __future__ import annotations

from .pipeline import FaceReport
from .records import Face


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
    return record


def restored_record(report: FaceReport) -> dict[str, object]:
    """A face and what happened to it."""
    return face_record(report.face) | {
        "strength": round(report.strength, 3),
        "left_alone": report.reason,
        "seconds": round(report.seconds, 3),
    }
