"""One folder of photographs as people have them: what is possible is done with each, and said of each."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from pages import EXAMPLES
from PIL import Image, ImageDraw
from resemblance.core.apps.cli import main

MAN, SHARP = EXAMPLES / "man_damaged.jpg", EXAMPLES / "woman_truth.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The photographs, and a folder of the damage masks of some."""
    root = tmp_path_factory.mktemp("cases")
    photos, masks = root / "photos", root / "masks"
    photos.mkdir()
    masks.mkdir()
    man = Image.open(MAN).convert("RGB")
    man.rotate(180).save(photos / "turned.jpg", quality=95)
    whole = MAN.read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: int(0.9 * len(whole))])
    broken = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40
    odd = b"\xff\xe1" + (len(broken) + 2).to_bytes(2, "big") + broken
    (photos / "odd tags.jpg").write_bytes(whole[:2] + odd + whole[2:])
    (photos / "50%20 #1's? & Äöü.jpg").write_bytes(whole)
    for name in ("same.jpg", "same.png", "modern.avif", "still.gif"):
        man.save(photos / name)
    # Folded, but sharp.
    folded, mask = Image.open(SHARP).convert("RGB"), Image.new("L", Image.open(SHARP).size)
    fold = [(0, mask.height // 2), (mask.width, mask.height // 2 + 10)]
    ImageDraw.Draw(folded).line(fold, fill=(240, 236, 225), width=4)
    ImageDraw.Draw(mask).line(fold, fill=255, width=4)
    folded.save(photos / "folded.png")
    mask.save(masks / "folded.png")
    (photos / "sharp.jpg").write_bytes(SHARP.read_bytes())
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(80, 200, (6, 8, 3), np.uint8)).resize((320, 240)).save(photos / "nobody.png")
    grey = np.asarray(man.convert("L"), np.uint16) * 257
    Image.fromarray(grey).save(photos / "deep.tif")
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "page.png").write_bytes(b"<html>not found</html>")
    (photos / "negative.cr2").write_bytes(b"II*\0raw")
    (photos / "notes.txt").write_text("no picture")
    return root


def test_each_is_done_what_is_possible_with_and_it_is_said(folder, tmp_path, capsys):
    out, report = tmp_path / "out", tmp_path / "report.json"
    options = ["--format", "png", "--damage-mask", folder / "masks", "--report", report, "--detector", "built-in"]
    code = main([str(word) for word in ("restore", folder / "photos", "-o", out, "--device", "cpu", *options)])
    pictures = {Path(entry["input"]).name: entry for entry in json.loads(report.read_text())["pictures"]}
    by_status = defaultdict(set)
    for name, entry in pictures.items():
        by_status[entry["status"]].add(name)
    assert code == 1 and by_status == {
        "failed": {"empty.jpg", "page.png"},
        "passed over": {"negative.cr2"},
        "unchanged": {"sharp.jpg", "nobody.png"},
        "restored": {path.name for path in (folder / "photos").iterdir() if path.suffix != ".txt"}
        - {"empty.jpg", "page.png", "negative.cr2", "sharp.jpg", "nobody.png"},
    }
    done = by_status["restored"] | by_status["unchanged"]
    assert {Path(pictures[name]["output"]) for name in done} == set(out.iterdir()) and len(done) == 12

    said = capsys.readouterr().err
    for name, words in {
        "turned.jpg": "the picture seems upside down",
        "cut.jpg": "the last 63 of its 640 rows are missing",
        "odd tags.jpg": "malformed EXIF tags are left out",
        "empty.jpg": "the file is empty (0 bytes)",
        "page.png": "not a picture that can be read",
        "negative.cr2": "a camera's raw file is not read",
        "sharp.jpg": "none restored, written as it is",
        "nobody.png": "no face found",
    }.items():
        assert any(name in line and words in line for line in said.splitlines()), name
    assert "10 restored, 2 failed, 1 passed over, 2 unchanged" in said

    plain = pixels(out / "50%20 #1's? & Äöü.png")
    before = pixels(MAN)
    changed = np.abs(plain - before).mean()
    assert changed > 1
    for name in ("odd tags.png", "same.jpg.png", "same.png", "modern.png"):
        assert np.abs(pixels(out / name) - plain).mean() < 0.5 * changed, name
    # As if it had been turned first.
    assert np.abs(pixels(out / "turned.png")[::-1, ::-1] - plain).mean() < 0.5 * changed
    with Image.open(out / "deep.png") as deep:
        assert deep.mode == "I;16" and len(np.unique(np.asarray(deep))) > 1000
    # The fold is gone from the face, and all else is as it was.
    folded, sharp = pixels(out / "folded.png"), pixels(SHARP)
    middle = sharp.shape[0] // 2
    assert np.abs(folded - sharp)[middle : middle + 12, 250:400].mean() < 8
    assert np.abs(folded - sharp)[: middle - 12].max() < 4


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"), np.float32)
