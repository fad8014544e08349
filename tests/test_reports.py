"""What was found and done, as JSON holds it; by hand."""

import json

import torch
from resemblance.core.pipeline import FaceReport, LeftAlone
from resemblance.core.records import Face, FaceQuality, Person, References
from resemblance.core.references.matching import Match
from resemblance.core.reports import face_record, match_record, references_record, restored_record

POINTS = ((1.004, 2.006), (3.0, 2.0), (2.0, 3.0), (1.0, 4.0), (3.0, 4.0))
FACE = Face(0, 2, (1.2345, 2.0, 30.0, 40.0), 0.98765, POINTS, FaceQuality(0.12345, 61.26, 0.01239, 0.5004))


def test_a_face_is_told_in_pixels_and_rounded():
    assert face_record(FACE) == {
        "index": 2,
        "number": 3,
        "box": [1.23, 2.0, 30.0, 40.0],
        "score": 0.9877,
        "landmarks": [[1.0, 2.01], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0], [3.0, 4.0]],
        "turned": 0,
        "sharpness": 0.123,
        "eye_distance": 61.3,
        "noise": 0.0124,
        "damage": 0.5,
    }
    assert set(face_record(Face(0, 0, (0, 0, 1, 1), 1.0, POINTS))) == {
        "index",
        "number",
        "box",
        "score",
        "landmarks",
        "turned",
    }


def test_a_face_that_was_left_alone_says_why():
    match = Match(None, 0.12345, None, "somebody else")
    record = json.loads(json.dumps(restored_record(FaceReport(FACE, LeftAlone("it is sharp"), match))))
    assert (record["strength"], record["seconds"], record["left_alone"]) == (0.0, 0.0, "it is sharp")
    assert record["match"] == match_record(match) == {"chance": 0.123, "score": None, "reason": "somebody else"}
    assert (record["person"], record["with_references"], record["unused_references"]) == (None, False, [])


def test_references_tell_who_is_in_them_and_what_is_not_used():
    x = torch.zeros(2, 1)
    anna = Person("anna", x, x, x, {}, x, x, (1.0, 1.0), ("a.png", "b.png"))
    references = References(
        (anna,), "1" * 16, "built-in", ("c" * 16,) * 2, (("c.png", "blurred"),), (("b.png", "old"),)
    )
    assert references_record(references) == {
        "restorer": "1" * 16,
        "embedder": "built-in",
        "people": {"anna": ["a.png", "b.png"]},
        "refused": [{"photograph": "c.png", "reason": "blurred"}],
        "doubted": [{"photograph": "b.png", "reason": "old"}],
    }
