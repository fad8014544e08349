import math
import re

import pytest
from resemblance.core.apps import benchmark


@pytest.fixture
def report(capsys):
    def run(*arguments: str) -> str:
        benchmark.main(["--quick", *arguments])
        return capsys.readouterr().out

    return run


def test_networks(report):
    rows = re.findall(r"^CodeFormer ours: (\w+), batch (\d) +([\d.]+) +([\d.]+)", report("--only", "networks"), re.M)
    assert [row[:2] for row in rows] == [("float32", "1"), ("float32", "2"), ("bfloat16", "1"), ("bfloat16", "2")]
    assert all(float(ms) > 0 and float(ratio) > 0 for *_, ms, ratio in rows)


def test_surroundings(report):
    text = report("--only", "surroundings")
    rows = re.findall(r"^ *(\d+) MP, +(\d+) faces +(.*)$", text, re.M)
    assert [(int(size), int(faces)) for size, faces, _ in rows] == [(m, n) for m in (1, 8, 24) for n in (1, 10)]
    for _, faces, numbers in rows:
        detect, crop, _, measure, paste, _, total, a_face, _ = map(float, numbers.split())
        assert total == pytest.approx(detect + crop + measure + paste, abs=0.3)
        assert a_face == pytest.approx(total / int(faces), abs=0.1)
    assert len(re.findall(r"^Paste of \d+ at 24 MP over 1 MP: [\d.]+ in place", text, re.M)) == 2


def test_the_faces_lie_in_the_photograph():
    faces = benchmark._faces(10, 1225, 816)
    assert [face.index for face in faces] == list(range(10))
    for face in faces:
        assert all(0 <= x < 1225 and 0 <= y < 816 for x, y in face.landmarks)
        (x0, y0), (x1, y1) = face.landmarks[:2]
        # 126 px between the eyes of the template, at 220 of 512 px.
        assert math.hypot(x1 - x0, y1 - y0) == pytest.approx(126 * 220 / 512, rel=0.02)
