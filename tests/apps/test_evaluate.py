"""The standing table: whose faces, which references, and numbers that are right."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips", "skimage"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from PIL import Image
from resemblance.core.apps.cli import main
from resemblance.core.training import evaluate as evaluation
from resemblance.core.training import scores
from resemblance.core.training.album import Selection, read_album
from resemblance.core.training.tables import damage_all


def listed(folder: Path, rows: list[tuple[str, ...]], columns=("path", "person", "split")) -> Path:
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder


def evaluate(*arguments) -> int:
    return main(["evaluate", *map(str, arguments), "--device", "cpu"])


@pytest.mark.slow
def test_the_command_writes_table_numbers_and_picture(assets, family, detect, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "ENOUGH", 3)
    monkeypatch.setattr(scores, "ALL_METRICS", ("psnr", "lpips_alex", "edgeface"))  # the others take minutes
    numbers, picture = tmp_path / "table.json", tmp_path / "grid.jpg"
    assert evaluate(family, "--damage", "severe", "--assets", assets, "--json", numbers, "--grid", picture) == 0
    text = capsys.readouterr().out
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| severe")]
    means = {row[1]: row for row in rows if row[2].isdigit()}
    names = [name for name in means if not name.startswith("classical")]
    decided = ["as the product decides", "wrong, as the product decides"]
    assert names == ["degraded", "none", "none, by damage", *decided, "one", "wrong", "lookalike"]
    assert [means[name][2] for name in names] == ["3", "3", "3", "2", "2", "2", "2", "2"]
    assert means["none"][-1] == "1.00 |"
    assert "3 faces of 2 people" in text and "no row with three references" in text

    table = json.loads(numbers.read_text())["table"]["severe"]
    album = read_album(family, Selection(), detect)
    damaged = damage_all(album.faces, [Path(name).stem for name in album.names], "severe")
    errors = [np.square(bad.astype(float) - good).mean() for bad, good in zip(damaged, album.faces, strict=True)]
    assert table["degraded"]["scores"]["psnr"] == pytest.approx(10 * np.log10(255**2 / np.array(errors)), abs=1e-3)
    assert table["degraded"]["faces"] == list(album.names)
    assert table["one"]["faces"] == ["woman/reference_1.jpg", "woman/truth.jpg"]
    one, none = (table[row]["scores"]["edgeface"] for row in ("one", "none"))
    gain = float(np.mean(np.array(one) - none[1:]))
    assert table["one"]["minus_none"]["edgeface"]["mean"] == pytest.approx(gain)
    assert gain > 0.1 + max(0.0, table["wrong"]["minus_none"]["edgeface"]["mean"])
    assert table["as the product decides"]["guided"] == [True, True]
    assert table["as the product decides"]["accepted"] == [1, 1]
    assert "severe, as the product decides: references are used for 100.0% of 2 faces; 100.0% of the" in text
    assert table["none"]["time"] == 1 != table["one"]["time"]
    assert table["one"]["kid"] is None and table["degraded"]["kid"] > table["none"]["kid"]
    # Three people; damaged, a reference, filter, none, decided twice, one, wrong, lookalike, truth: the man has no
    # reference and no such rows.
    assert Image.open(picture).size == (10 * 256, 3 * 256)


@pytest.mark.parametrize(
    ("rows", "columns", "options", "words"),
    [
        ([], None, (), "expected a folder for each person"),
        ([("man/truth.jpg", "man")], ("path", "person"), (), "no column 'split'"),
        ([("man/truth.jpg", "man", "train")], ("path", "person", "split"), (), "split 'val'"),
        ([("man/truth.jpg", "man", "val")], ("path", "person", "split"), ("--only", "london"), "below 'london'"),
        ([("man/truth.jpg", "man", "val")], ("path", "person", "split"), ("--half", "odd"), "half 'odd'"),
        ([("man/gone.jpg", "man", "val")], ("path", "person", "split"), (), "None of the 0 faces"),
        (None, None, ("--grid", "grid.txt"), "--grid grid.txt"),
        (None, None, ("--limit", "0"), "--limit was 0"),
        (None, None, ("--metrics", "beauty"), "Got the metrics beauty"),
        (None, None, (), "is no folder"),
    ],
)
def test_what_cannot_be_evaluated_is_said(assets, tmp_path, capsys, rows, columns, options, words):
    data = tmp_path / "data"
    if rows is not None:
        data.mkdir()
    if columns:
        listed(data, rows, columns)
    assert evaluate(data, "--assets", assets, *options) == 2
    said = capsys.readouterr()
    assert words in said.err and said.out == ""


def test_missing_networks_and_packages_are_said_with_what_to_install(family, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RESEMBLANCE_ASSETS", raising=False)
    for options in ((), ("--assets", tmp_path)):
        assert evaluate(family, *options) == 2
        said = capsys.readouterr().err
        assert 'pip install "resemblance[train]"' in said and "-r core/training/assets.txt" in said
    monkeypatch.setitem(sys.modules, "lpips", None)
    assert evaluate(family) == 2
    assert "lpips" in (said := capsys.readouterr().err) and 'pip install "resemblance[train]"' in said
