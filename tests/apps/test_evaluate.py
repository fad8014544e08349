"""The standing table: whose faces, which references, and numbers that are right."""

import csv
import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips", "skimage"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from PIL import Image
from resemblance.core.apps.cli import main
from resemblance.core.faces.crop import face_mask
from resemblance.core.faces.detect import detect_faces, load_detector
from resemblance.core.training import evaluate as evaluation
from resemblance.core.training import gallery
from resemblance.core.training.album import Selection, lookalikes_for, read_album, references_for
from resemblance.core.training.data import to_tensor
from resemblance.core.training.scores import Judges, kid, mean_lab
from resemblance.core.training.tables import change, damage_all, half_of, markdown, summary

EXAMPLES = Path(__file__).parents[2] / "nodes" / "examples"
PHOTOGRAPHS = {"man": ("truth",), "woman": ("reference_1", "truth")}


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> Path:
    """A folder for each person."""
    folder = tmp_path_factory.mktemp("family")
    for person, names in PHOTOGRAPHS.items():
        (folder / person).mkdir()
        for name in names:
            shutil.copy(EXAMPLES / f"{person}_{name}.jpg", folder / person / f"{name}.jpg")
    return folder


@pytest.fixture(scope="module")
def detect():
    return partial(detect_faces, backend=load_detector("builtin"))


def listed(folder: Path, rows: list[tuple[str, ...]], columns=("path", "person", "split")) -> Path:
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder


def test_folders_and_a_manifest_give_the_same_faces(family, detect, tmp_path):
    album = read_album(family, Selection(), detect)
    assert album.people == ("man", "woman", "woman")
    assert album.names == ("man/truth.jpg", "woman/reference_1.jpg", "woman/truth.jpg")
    assert album.judged == [n for n, scale in enumerate(album.scales) if scale <= 1.25] == [0, 1, 2]
    # A face is 0.52 of its template wide.
    assert replace(album, scales=(1.0, 1.04, 1.05), truth=256.0).judged == [0, 1]
    shutil.copytree(family, tmp_path, dirs_exist_ok=True)
    rows = [(name, person, "val") for name, person in zip(album.names, album.people, strict=True)]
    (tmp_path / "woman" / "black.png").write_bytes(b"")
    Image.new("RGB", (64, 64)).save(tmp_path / "woman" / "black.png")
    more = [("woman/black.png", "woman", "val"), ("man/none.jpg", "man", "val"), ("man/truth.jpg", "man", "train")]
    again = read_album(listed(tmp_path, [*reversed(rows), *more]), Selection("val"), detect)
    assert again.names == album.names
    assert all(map(np.array_equal, again.faces, album.faces))
    assert {path for path, _ in again.faults} == {"woman/black.png", "man/none.jpg"}
    only = read_album(tmp_path, Selection("val", only="woman", limit=2), detect)
    assert only.names == ("woman/reference_1.jpg",) and only.faults[0][0] == "woman/black.png"


def test_an_enlarged_face_is_no_truth(family, detect, tmp_path):
    (tmp_path / "man").mkdir()
    picture = Image.open(family / "man" / "truth.jpg")
    picture.resize((picture.width // 2, picture.height // 2)).save(tmp_path / "man" / "small.png")
    album = read_album(tmp_path, Selection(), detect)
    assert album.scales[0] == pytest.approx(2 * read_album(family, Selection(), detect).scales[0], rel=0.03)
    assert album.judged == []


def test_halves_share_nobody():
    people = ["d", "a", "c", "b", "a"]
    assert half_of(people, "even") == {"a", "c"} and half_of(people, "odd") == {"b", "d"}


def test_references_are_the_persons_others_and_a_strangers():
    chosen = references_for(("ann", "ann", "ann", "bob", "cid", "cid"))
    assert chosen["one"] == [[1], [2], [0], [], [5], [4]]
    assert chosen["three"] == chosen["five"] == [[1, 2], [2, 0], [0, 1], [], [5], [4]]
    # As many of the next person's as there are of the own, and as the stranger has.
    assert chosen["wrong"] == [[3], [3], [3], [], [1], [2]]
    many = references_for(("ann",) * 7 + ("bob",) * 7)
    assert (many["three"][0], many["five"][0], many["wrong"][0]) == ([1, 2, 3], [1, 2, 3, 4, 5], [8, 9, 10, 11, 12])
    assert references_for(("ann", "ann"))["wrong"] == [[], []]


def test_a_lookalike_is_the_person_whose_photographs_are_nearest():
    people = ("ann", "ann", "bob", "bob", "cid")
    embeddings = F.normalize(torch.tensor([[1.0, 0, 0], [1, 0.1, 0], [0, 1, 0], [0.5, 1, 0], [0, 0, 1.0]]), dim=1)
    chosen = lookalikes_for(people, embeddings, [[1], [0], [3], [2], []])
    assert chosen == [[3], [3], [1], [1], []]  # of ann's lookalike bob the nearer photograph, and the other way round
    assert lookalikes_for(("ann", "ann"), embeddings[:2], [[1], [0]]) == [[], []]


def test_a_constant_has_no_spread_and_a_shift_is_found():
    assert summary([0.25] * 7) == {"mean": 0.25, "low": 0.25, "high": 0.25}
    assert change([1.5, 2.5, 3.5], [1.0, 2.0, 3.0], "sface") == "+0.500 (+0.500 to +0.500)"
    spread = summary([0.0, 1.0] * 50)
    # 90% of means of 100 fair coins lie within 1.645 deviations of 0.05.
    assert (spread["low"], spread["high"]) == (pytest.approx(0.418, abs=0.015), pytest.approx(0.582, abs=0.015))
    assert markdown(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_numbers_of_plain_pictures_are_the_formulas():
    judges = Judges(None, ("psnr", "ssim", "lab"))
    faces, truth = torch.full((1, 3, 512, 512), 102 / 255), torch.full((1, 3, 512, 512), 153 / 255)
    scores = judges(faces, truth)
    assert scores["psnr"][0] == pytest.approx(20 * np.log10(255 / 51), abs=1e-4)
    # Without variance only the means are compared: (2ab + C) / (a² + b² + C), C = 0.01².
    assert scores["ssim"][0] == pytest.approx((2 * 0.4 * 0.6 + 1e-4) / (0.4**2 + 0.6**2 + 1e-4), abs=1e-4)


def test_the_colour_of_a_face_is_that_of_skimage_within_its_mask():
    from skimage.color import rgb2lab

    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    mask = face_mask()[0].numpy()
    expected = np.average(rgb2lab(picture).reshape(-1, 3), axis=0, weights=mask.flatten())
    assert mean_lab(to_tensor([picture]))[0].numpy() == pytest.approx(expected, abs=0.02)
    outside = torch.where(face_mask()[None] > 0, to_tensor([picture]), torch.zeros(1))
    assert mean_lab(outside)[0].numpy() == pytest.approx(expected, abs=0.02)


def test_kid_is_zero_for_one_set_and_counts_every_other_pair():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 5, 4))

    def others(a, b):
        return np.mean([(a[i] @ b[j] / 4 + 1) ** 3 for i in range(5) for j in range(5) if i != j])

    expected = 1000 * (others(x, x) + others(y, y) - 2 * others(x, y))
    assert kid(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected)
    assert kid(torch.from_numpy(x), torch.from_numpy(x)) == pytest.approx(0, abs=1e-9)


def evaluate(*arguments) -> int:
    return main(["evaluate", *map(str, arguments), "--device", "cpu"])


def test_the_command_writes_table_numbers_and_picture(assets, family, detect, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "ENOUGH", 3)
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


def test_the_gallery_shows_the_face_and_what_was_done(detect):
    photo = torch.zeros(3, 300, 400)
    photo[:, 100:200, 240:340] = 1  # a box of 100 px, whose surroundings of 170 px reach over the edge
    around = gallery._around(photo, (240.0, 100.0, 339.0, 199.0))
    assert around.shape == (3, gallery.SIDE, gallery.SIDE)
    assert float(around.mean()) == pytest.approx(1 / gallery.AROUND**2, rel=0.05)
    case = gallery.Case("", "grey", shrink=2)
    pictures = gallery.before_and_after(case, torch.full((3, 96, 80), 0.5), Mirror(), detect)
    assert [words for _, words in pictures] == ["grey, 1/2", "no face found", "as it was"]
    face = torch.from_numpy(np.array(Image.open(EXAMPLES / "woman_damaged.jpg"))).permute(2, 0, 1) / 255
    (before, words), (after, said) = gallery.before_and_after(gallery.Case("", "woman"), face, Mirror(), detect)
    assert (words, said.split(",")[0]) == ("woman", "restored")
    changed = (before - after).abs().mean(0)
    third = gallery.SIDE // 3
    assert changed[third:-third, third:-third].mean() > 0.02
    assert changed[:8, :8].max() == 0  # outside the face


class Mirror:
    """A restorer that mirrors faces."""

    name, fingerprint, licence, network = "mirror", "0" * 16, "none", None

    def restore(self, faces, fidelity=None, progress=None):
        return faces.flip(-1)
