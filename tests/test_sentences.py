from dataclasses import replace

import pytest
from resemblance.core.pipeline import FaceReport, LeftAlone, Restored
from resemblance.core.records import Face, FaceQuality
from resemblance.core.references.matching import Match
from resemblance.core.sentences import condition, sentence, sentences

POINTS = ((0.0, 0.0),) * 5


def face(severity=0.9, index=0):
    return Face(0, index, (0.0, 0.0, 9.0, 9.0), 1.0, POINTS, FaceQuality(0.5, 40.0, 0.01, severity))


def done(blend=1.0, guided=False):
    return Restored(blend, 0.1, guided, (), None, None)


@pytest.mark.parametrize(
    ("severity", "words"),
    [(0.0, "sharp"), (0.12, "sharp"), (0.2, "slightly damaged"), (0.5, "damaged"), (1, "badly damaged")],
)
def test_damage_in_words(severity, words):
    assert condition(severity) == words


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (FaceReport(face(), done()), "Face 1: badly damaged, restored in full."),
        (FaceReport(face(0.2, 3), done(0.4)), "Face 4: slightly damaged, restored by 40%."),
        (FaceReport(face(0.01), done(0.0)), "Face 1: sharp, restored where it is torn."),
        (
            FaceReport(face(0.01), replace(done(0.0), mended=0.1)),
            "Face 1: sharp, restored where it is torn, with folds or scratches mended.",
        ),
        (
            FaceReport(face(0.05), LeftAlone("it is sharp (damage 0.05)")),
            "Face 1: left alone, because it is sharp (damage 0.05).",
        ),
        (
            FaceReport(face(), done(guided=True), Match("anna", 0.934, 0.6, "")),
            "Face 1: badly damaged, restored in full with anna's photographs, 93% sure.",
        ),
        (
            FaceReport(face(), done(guided=True), Match("anna", 0.934, 0.6, "named by hand", True)),
            "Face 1: badly damaged, restored in full with anna's photographs, as you said.",
        ),
        (
            FaceReport(face(), done(), Match(None, 0.2, 0.1, "the likeliest is anna, 20% sure, 50% needed")),
            "Face 1: badly damaged, restored in full without references (the likeliest is anna, 20% sure, 50% needed).",
        ),
        (FaceReport(Face(0, 1, (0, 0, 9, 9), 1.0, POINTS), done()), "Face 2: restored in full."),
    ],
)
def test_what_happened_in_a_sentence(report, said):
    assert sentence(report) == said


def test_one_for_each_face_or_one_that_there_is_none():
    assert len(sentences([FaceReport(face(), done())] * 2)) == 2
    assert sentences([]) == ["No face was found."]
