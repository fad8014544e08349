"""The table as text, by hand."""

import importlib.util
from types import SimpleNamespace

import pytest

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips", "skimage"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training.evaluate import Scored
from resemblance.core.training.evaluation_report import as_record, as_text, compared, remarks

NONE = Scored([0, 1, 2], {"psnr": [20.0, 21.0, 22.0]}, 2.0, 30.04, {})
ONE = Scored([1, 2], {"psnr": [22.0, 23.0]}, 3.0, None, {}, (True, False), (1.0, 0.5))
TABLE = {"severe": {"none": NONE, "one": ONE}}


def evaluation(**settings):
    album = SimpleNamespace(names=["a", "b", "c", "small"], people=["x", "y", "y", "z"], faces=[0] * 4, faults=["f"])
    given = {"album": album, "judged": [0, 1, 2], "judges": SimpleNamespace(metrics=("psnr",)), "counted": True}
    given |= {"references": {"one": [[], [2], [1]]}, "inception": None}
    return SimpleNamespace(**given | settings)


def test_a_row_is_compared_with_the_same_faces_without_references():
    assert compared(TABLE["severe"], "one", "psnr") == ([22.0, 23.0], [21.0, 22.0])


def test_the_tables():
    lines = as_text(TABLE, evaluation()).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| severe")]
    assert [row[:3] for row in cells[:2]] == [["severe", "none", "3"], ["severe", "one", "2"]]
    assert [row[-2:] for row in cells[:2]] == [["30.0", "1.00"], ["", "1.50"]]
    assert [row[3].split(" ")[0] for row in cells[:2]] == ["21.00", "22.50"]
    assert cells[2] == ["severe", "one minus none", "+1.00 (+1.00 to +1.00)"]
    assert "kid" not in as_text(TABLE, evaluation(counted=False))


def test_the_numbers_of_every_face():
    record = as_record(TABLE, evaluation())["severe"]["one"]
    assert record["faces"] == ["b", "c"] and record["scores"] == {"psnr": [22.0, 23.0]} and record["time"] == 1.5
    assert record["minus_none"] == {"psnr": {"mean": 1.0, "low": 1.0, "high": 1.0}}
    assert (record["guided"], record["accepted"], record["kid"]) == ((True, False), (1.0, 0.5), None)


def test_what_to_know_beside_the_table():
    said = remarks(TABLE, evaluation())
    assert said[0].startswith("3 faces of 2 people; means")
    assert "Too small to be the truth at 512 px, and references only: 1 more." in said
    assert "Left out, for no face was found or they cannot be read: 1." in said
    assert any(line.startswith("KID is left out: not all metrics") for line in said)
    used = "severe, one: references are used for 50.0% of 2 faces; 75.0% of the photographs given are not refused."
    assert used in said
    alone = remarks(TABLE, evaluation(references={"one": []}, inception=1, counted=False))
    assert any("no row with their own references" in line for line in alone)
    assert any("KID is left out: it needs" in line for line in alone)
