import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from people import COLOURS, ColourEmbedder, Giving
from PIL import Image
from resemblance.core.apps import faces as faces_room
from resemblance.core.apps import references as references_room
from resemblance.core.apps import restore as restore_room
from resemblance.core.apps.cli import build_parser, main
from resemblance.core.files.images import read_photo
from resemblance.core.geometry import TEMPLATE
from resemblance.core.records import Face
from resemblance.core.references.saving import load_references, save_references


class Darker:
    """A restorer that makes faces darker, by more where the fidelity is lower."""

    name, fingerprint, licence, network = "darker", "0" * 16, "none", None

    def restore(self, faces, fidelity=None, progress=None):
        return faces * (0.5 if fidelity is None else fidelity)


def one_face(photos):
    """A face of 100 px in the top-left corner of every photograph that is large enough for one and not black."""
    points = tuple((x * 100 / 512, y * 100 / 512) for x, y in TEMPLATE)
    large = photos.shape[-1] >= 100 and bool(photos.any())
    return [Face(0, 0, (0.0, 0.0, 100.0, 100.0), 0.9, points)] if large else []


@pytest.fixture
def fakes(monkeypatch):
    """Put a restorer and a detector in the place of the real ones; what they are loaded with goes into the list."""
    loaded = []
    monkeypatch.setattr(restore_room, "load_restorer", lambda *args: loaded.append(args) or Darker())
    monkeypatch.setattr(restore_room, "detector_from", lambda args: one_face)
    monkeypatch.setattr(faces_room, "detector_from", lambda args: one_face)
    return loaded


def paint(path: Path, size: tuple[int, int] = (160, 120), **options) -> Path:
    """A smooth picture, in which every face counts as blurred."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    Image.fromarray(rng.integers(60, 255, (4, 5, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC).save(
        path, **options
    )
    return path


def restore(*args) -> int:
    return main(["restore", *map(str, args), "--device", "cpu"])


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_to_a_file(tmp_path, fakes, capsys):
    source = paint(tmp_path / "a.jpg")
    before = source.read_bytes()
    assert restore(source, "-o", tmp_path / "b.png") == 0
    assert source.read_bytes() == before
    old, new = read_photo(source).pixels, read_photo(tmp_path / "b.png").pixels
    assert torch.equal(new[:, 110:], old[:, 110:]) and torch.equal(new[..., 110:], old[..., 110:])
    assert not torch.equal(new, old)
    assert "1 face, 1 restored" in capsys.readouterr().err


def test_a_folder_to_a_folder(tmp_path, fakes):
    for name in ("a.jpg", "b.PNG", "c.webp", "sub/d.png", ".hidden.png"):
        paint(tmp_path / "in" / name)
    (tmp_path / "in/notes.txt").write_text("no picture")
    assert restore(tmp_path / "in", "-o", tmp_path / "out") == 0
    assert tree(tmp_path / "out") == ["a.jpg", "b.PNG", "c.webp"]
    assert restore(tmp_path / "in", "-o", tmp_path / "out2", "--recursive", "--format", "png") == 0
    assert tree(tmp_path / "out2") == ["a.png", "b.PNG", "c.png", "sub/d.png"]
    with Image.open(tmp_path / "out2/a.png") as image:
        assert image.format == "PNG"


def test_patterns_and_doubles(tmp_path, fakes):
    paint(tmp_path / "in/a.png")
    paint(tmp_path / "in/b.png")
    paint(tmp_path / "in/[c].png")  # a name that looks like a pattern is a name first
    arguments = (tmp_path / "in/?.png", tmp_path / "in/a.png", tmp_path / "in/[c].png")
    assert restore(*arguments, "-o", tmp_path / "out") == 0
    assert tree(tmp_path / "out") == ["[c].png", "a.png", "b.png"]


def test_an_output_folder_inside_the_input_is_not_read_again(tmp_path, fakes):
    paint(tmp_path / "a.png")
    for _ in range(2):
        assert restore(tmp_path, "-o", tmp_path / "out", "--recursive") == 0
    assert tree(tmp_path) == ["a.png", "out/a.png"]


def test_resumes_and_overwrites(tmp_path, fakes, capsys):
    paint(tmp_path / "in/a.png")
    paint(tmp_path / "in/b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").write_bytes(b"done before")
    assert restore(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.json") == 0
    assert (tmp_path / "out/a.png").read_bytes() == b"done before"
    assert "1 picture skipped" in capsys.readouterr().err
    report = json.loads((tmp_path / "r.json").read_text())
    assert [entry["status"] for entry in report["pictures"]] == ["skipped", "restored"]
    assert restore(tmp_path / "in", "-o", tmp_path / "out", "--overwrite") == 0
    assert read_photo(tmp_path / "out/a.png").pixels.shape == (3, 120, 160)


def test_some_fail_and_the_others_go_on(tmp_path, fakes, capsys):
    folder = tmp_path / "in"
    paint(folder / "good.png")
    paint(folder / "tiny.png", (1, 1))
    Image.new("RGB", (200, 200)).save(folder / "black.png")
    Image.new("RGBA", (200, 200)).save(folder / "clear.png")
    paint(folder / "wide.png", (30000, 4))
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"hello")
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:-600])
    paint(folder / "moving.webp", save_all=True, append_images=[Image.new("RGB", (160, 120))])
    code = restore(
        folder,
        folder / "missing.png",
        tmp_path / "*.gif",
        __file__,
        "-o",
        tmp_path / "out",
        "--report",
        tmp_path / "r.json",
    )
    assert code == 1
    report = json.loads((tmp_path / "r.json").read_text())
    status = {Path(entry["input"]).name: entry["status"] for entry in report["pictures"]}
    failed = {"empty.jpg", "text.jpg", "cut.png", "moving.webp", "missing.png", "*.gif", Path(__file__).name}
    assert {name for name, value in status.items() if value == "failed"} == failed
    assert {name: status[name] for name in ("good.png", "tiny.png", "black.png", "clear.png", "wide.png")} == {
        "good.png": "restored",
        "tiny.png": "unchanged",
        "black.png": "unchanged",
        "clear.png": "unchanged",
        "wide.png": "restored",
    }
    assert report["counts"] == {"restored": 2, "unchanged": 3, "failed": 7}
    assert tree(tmp_path / "out") == ["black.png", "clear.png", "good.png", "tiny.png", "wide.png"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Failed")]
    assert len(lines) == 7 and all("expected" in line for line in lines)


def test_a_picture_with_nothing_to_restore_is_copied(tmp_path, fakes):
    source = paint(tmp_path / "a.jpg", (50, 50), quality=30)
    assert restore(source, "-o", tmp_path / "out") == 0
    assert (tmp_path / "out/a.jpg").read_bytes() == source.read_bytes()
    assert restore(source, "-o", tmp_path / "b.png") == 0
    assert torch.equal(read_photo(tmp_path / "b.png").pixels, read_photo(source).pixels)


def test_the_report_tells_of_every_face(tmp_path, fakes, capsys):
    paint(tmp_path / "a.png")
    assert restore(tmp_path / "a.png", "-o", tmp_path / "out", "--fidelity", "0.7", "--report", "-") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["restorer"] == {"name": "darker", "fingerprint": "0" * 16, "licence": "none"}
    assert report["options"]["fidelity"] == 0.7
    (picture,) = report["pictures"]
    assert picture["input"] == str(tmp_path / "a.png") and picture["output"] == str(tmp_path / "out/a.png")
    (face,) = picture["faces"]
    assert (
        face["index"] == 0 and face["box"] == [0, 0, 100, 100] and face["score"] == 0.9 and face["left_alone"] is None
    )
    assert face["strength"] == 1 and 0 <= face["sharpness"] < 0.5 and len(face["landmarks"]) == 5


def test_nothing_is_done_where_an_input_would_be_overwritten(tmp_path, fakes, capsys):
    source = paint(tmp_path / "in/a.png")
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for arguments in (
        (tmp_path / "in", "-o", tmp_path / "in"),
        (source, "-o", source),
        (source, "-o", tmp_path / "link"),
        (source, "-o", tmp_path / "link/a.png"),
        (source, "-o", tmp_path / "out", "--report", source),
    ):
        assert restore(*arguments, "--overwrite") == 2
        assert "would be overwritten" in capsys.readouterr().err
    assert source.read_bytes() == before and tree(tmp_path) == ["in/a.png"] and fakes == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("x/a.png", "y/a.png", "-o", "out"), "would both be written to"),
        (("x/a.png", "x/a.jpg", "-o", "out", "--format", "png"), "would both be written to"),
        (("x/a.png", "x/a.jpg", "-o", "out.png"), "2 pictures were given"),
        (("x", "-o", "x/a.png"), "2 pictures were given"),
        (("x/a.png", "-o", "b.png", "--format", "jpg"), "different formats"),
        (("x/a.png", "-o", "notes"), "is a file; expected a folder"),
        (("x/a.png", "-o", "out", "--report", "out/a.png"), "give another place"),
        (("x/a.png", "-o", "out", "--fidelity", "1.5"), "fidelity was 1.5; expected 0 to 1"),
        (("x/a.png", "-o", "out", "--format", "gif"), "invalid choice"),
        (("x/a.png", "-o", "out", "--aligned", "--scale", "2"), "--scale does nothing"),
        (("x/a.png",), "-o"),
    ],
)
def test_bad_usage(tmp_path, fakes, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    for name in ("x/a.png", "x/a.jpg", "y/a.png"):
        paint(tmp_path / name)
    (tmp_path / "notes").write_text("a file")
    before = tree(tmp_path)
    assert restore(*arguments) == 2
    assert words in capsys.readouterr().err
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--threshold", "0"), "--threshold was 0.0; expected above 0"),
        (("--max-faces", "0"), "--max-faces was 0; expected 1 or more"),
        (("--device", "abacus"), "abacus"),
        (("--detector", "insightface", "--models-dir", "none"), "none"),
    ],
)
def test_bad_usage_of_finding_faces(tmp_path, capsys, arguments, words):
    paint(tmp_path / "a.png")
    assert main(["faces", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert words in capsys.readouterr().err and tree(tmp_path) == ["a.png"]


def test_weights_that_are_none_are_bad_usage(tmp_path, capsys):
    paint(tmp_path / "a.png")
    (tmp_path / "w.pth").write_bytes(b"nonsense")
    assert restore(tmp_path / "a.png", "-o", tmp_path / "out", "--weights", tmp_path / "w.pth") == 2
    assert str(tmp_path / "w.pth") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_aligned_crops_of_any_size(tmp_path, fakes, monkeypatch):
    monkeypatch.delattr(restore_room, "detector_from")  # no detector is loaded
    paint(tmp_path / "in/512.png", (512, 512))
    paint(tmp_path / "in/256.png", (256, 256))
    paint(tmp_path / "in/flat.png", (512, 400))
    assert restore(tmp_path / "in", "-o", tmp_path / "out", "--aligned", "--report", tmp_path / "r.json") == 1
    old, new = read_photo(tmp_path / "in/512.png").pixels, read_photo(tmp_path / "out/512.png").pixels
    assert (new - old * 0.5).abs().max() < 0.003
    assert read_photo(tmp_path / "out/256.png").pixels.shape == (3, 512, 512)
    messages = {e["status"]: e["message"] for e in json.loads((tmp_path / "r.json").read_text())["pictures"]}
    assert "512x400" in messages["failed"] and "square" in messages["failed"]


def test_alpha_and_scale(tmp_path, fakes):
    image = Image.open(paint(tmp_path / "a.png")).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "a.png")
    assert restore(tmp_path / "a.png", "-o", tmp_path / "b.png", "--scale", "2") == 0
    photo = read_photo(tmp_path / "b.png")
    assert photo.pixels.shape == (3, 240, 320) and photo.alpha.shape == (1, 240, 320)
    assert photo.alpha[0, 0].max() < 0.02 and photo.alpha[0, -1].min() > 0.98
    assert restore(tmp_path / "a.png", "-o", tmp_path / "b.jpg") == 1  # JPEG holds no alpha


def test_a_failure_to_write_is_one_failure(tmp_path, fakes, capsys):
    paint(tmp_path / "in/a.png")
    paint(tmp_path / "in/sub/b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub").write_text("a file where a folder is to be")
    assert restore(tmp_path / "in", "-o", tmp_path / "out", "--recursive") == 1
    assert tree(tmp_path / "out") == ["a.png", "sub"]
    assert "could not be written" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_loses_no_picture(tmp_path, fakes, capsys):
    paint(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    assert restore(tmp_path / "a.png", "-o", tmp_path / "out", "--report", tmp_path / "file/r.json") == 1
    assert tree(tmp_path / "out") == ["a.png"] and "r.json" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are text")
def test_a_name_that_is_no_text(tmp_path, fakes):
    name = os.fsdecode(b"caf\xe9.png")
    paint(tmp_path / "in" / name)
    assert restore(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.json") == 0
    (picture,) = json.loads((tmp_path / "r.json").read_text())["pictures"]
    assert picture["input"] == str(tmp_path / "in" / name)


def test_an_interrupt_keeps_what_is_done(tmp_path, fakes, monkeypatch, capsys):
    for name in ("a.png", "b.png", "c.png"):
        paint(tmp_path / "in" / name)

    def second_is_interrupted(photos, found=[]):  # noqa: B006 - it counts its calls
        found.append(1)
        if len(found) == 2:
            raise KeyboardInterrupt
        return one_face(photos)

    monkeypatch.setattr(restore_room, "detector_from", lambda args: second_is_interrupted)
    command = (tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.json")
    assert restore(*command) == 130
    assert tree(tmp_path / "out") == ["a.png"]
    report = json.loads((tmp_path / "r.json").read_text())
    assert [entry["status"] for entry in report["pictures"]] == ["restored", "pending", "pending"]
    assert "Interrupted" in capsys.readouterr().err
    assert restore(*command) == 0
    assert tree(tmp_path / "out") == ["a.png", "b.png", "c.png"]


SLOW = """
import sys, time
from resemblance.core.apps import restore
class Slow:
    name, fingerprint, licence, network = "slow", "0", "none", None
    def restore(self, faces, fidelity=None, progress=None):
        time.sleep(0.2)
        return faces
restore.load_restorer = lambda *args: Slow()
from resemblance.core.apps.cli import build_parser, main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_cleanly(tmp_path, kill):
    for number in range(40):
        paint(tmp_path / f"in/{number}.png", (512, 512))
    command = ["restore", tmp_path / "in", "-o", tmp_path / "out", "--aligned", "--report", tmp_path / "r.json"]
    # Where the tests themselves run in the background, interrupts are ignored, and what they start would inherit that.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-c", SLOW, *map(str, command)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=heard) as process:
        deadline = time.monotonic() + 60
        while not any((tmp_path / "out").glob("*.png")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(kill)
        assert process.wait(30) == 130
    counts = json.loads((tmp_path / "r.json").read_text())["counts"]
    done = tree(tmp_path / "out")
    assert 0 < counts["restored"] < 40 and counts["restored"] + counts["pending"] == 40
    assert len(done) in (counts["restored"], counts["restored"] + 1)  # a signal may fall between writing and noting it
    for name in done:
        read_photo(tmp_path / "out" / name)


def test_faces_are_numbered_and_listed(tmp_path, fakes, capsys):
    paint(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"")
    assert main(["faces", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first["preview"] == str(tmp_path / "out/a.png") and first["faces"][0]["box"] == [0, 0, 100, 100]
    assert "empty" in second["error"]
    preview = read_photo(tmp_path / "out/a.png").pixels
    assert preview.shape == (3, 120, 160)
    assert not torch.equal(preview, read_photo(tmp_path / "in/a.png").pixels)
    before = (tmp_path / "out/a.png").read_bytes()
    (tmp_path / "out/a.png").write_bytes(b"mine")
    main(["faces", str(tmp_path / "in"), "-o", str(tmp_path / "out")])
    assert (tmp_path / "out/a.png").read_bytes() == b"mine"
    main(["faces", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--overwrite"])
    assert (tmp_path / "out/a.png").read_bytes() == before


@pytest.fixture
def people(monkeypatch, patterns):
    """A restorer that reads references, people told apart by colour, and a face in the corner of every photograph."""
    restorers = []

    def load(*args):
        restorers.append(Giving())
        return restorers[-1]

    for room in (restore_room, references_room):
        monkeypatch.setattr(room, "load_restorer", load)
    monkeypatch.setattr(restore_room, "detector_from", lambda args: one_face)
    monkeypatch.setattr(references_room, "load_detector", lambda *args: None)
    monkeypatch.setattr(references_room, "detect_faces", lambda photos, backend: one_face(photos))
    monkeypatch.setattr(references_room, "load_embedder", lambda choice, *args: ColourEmbedder())
    return restorers


def portray(path: Path, name: str, blur: int = 1) -> Path:
    """A photograph of one of the people, who fills it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texture = np.random.default_rng(len(path.name)).random((40, 40, 3)).repeat(3, 0).repeat(3, 1)
    picture = Image.fromarray((255 * (0.7 * np.array(COLOURS[name]) + 0.3 * texture)).astype(np.uint8))
    picture.resize((120 // blur, 120 // blur)).resize((120, 120), Image.Resampling.BICUBIC).save(path)
    return path


def test_references_are_used_and_reported(tmp_path, people, capsys):
    portray(tmp_path / "family/anna/1.png", "anna")
    portray(tmp_path / "family/anna/22.png", "anna")
    portray(tmp_path / "family/bob/1.png", "bob")
    for name in ("anna", "cem"):
        portray(tmp_path / f"in/{name}.png", name, blur=12)
    command = (tmp_path / "in", "--reference", tmp_path / "family", "--report", tmp_path / "r.json")
    assert restore(*command, "-o", tmp_path / "out", "--maps", tmp_path / "maps") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    anna = [str(tmp_path / f"family/anna/{name}.png") for name in ("1", "22")]
    assert report["references"]["people"] == {"anna": anna, "bob": [str(tmp_path / "family/bob/1.png")]}
    assert report["references"]["refused"] == [] and report["references"]["match_threshold"] == 0.5
    first, second = (picture["faces"][0] for picture in report["pictures"])
    assert first["person"] == "anna" and first["with_references"] and first["match"]["score"] > 0.9
    assert first["match"]["chance"] > 0.99 and first["match"]["reason"] == "anna, 100% sure"
    assert report["references"]["doubted"] == []
    assert set(first["identity_to_references"]) == {"before", "restored_without", "restored_with"}
    assert list(first["taken"]) == anna and 0 <= first["invented"] <= 1
    assert second["person"] is None and not second["with_references"] and "needed" in second["match"]["reason"]
    assert people[0].given == [[tuple(anna)]]
    told = capsys.readouterr().err
    assert "1 restored, 1 with references (anna, 100% sure)" in told
    assert (
        "1 restored, none with references (the likeliest is" in told and "50% needed; or name the face by hand)" in told
    )
    assert tree(tmp_path / "maps") == ["anna.png.face0.attribution.png", "anna.png.face0.invention.png"]
    assert read_photo(tmp_path / "maps/anna.png.face0.attribution.png").pixels.shape == (3, 512, 512)


def test_by_hand_and_by_strength(tmp_path, people, capsys):
    reference = portray(tmp_path / "anna.png", "anna")
    portray(tmp_path / "in/cem.png", "cem", blur=12)
    command = (tmp_path / "in", "--reference", reference, "--overwrite", "-o", tmp_path / "out")
    assert restore(*command, "--match", "0=reference") == 0
    assert people[-1].given == [[(str(reference),)]]
    told = capsys.readouterr().err
    assert "1 with references (named by hand, but probably somebody else: 3% likely to be reference)" in told
    assert restore(*command, "--match", "0=reference", "--reference-strength", "0") == 0
    assert people[-1].given == [] and "none with references" in capsys.readouterr().err
    # e^7 against it and 9 to 1 for it leave 0.8%.
    for threshold, given in (("0.01", []), ("0.005", [[(str(reference),)]])):
        assert restore(*command, "--match-threshold", threshold) == 0
        assert people[-1].given == given


def test_aligned_crops_take_references_too(tmp_path, people):
    reference = portray(tmp_path / "anna.png", "anna")
    picture = portray(tmp_path / "in.png", "anna", blur=12)
    command = (picture, "-o", tmp_path / "out.png", "--aligned", "--reference", reference)
    assert restore(*command, "--report", tmp_path / "r.json", "--maps", tmp_path / "maps") == 0
    (face,) = json.loads((tmp_path / "r.json").read_text())["pictures"][0]["faces"]
    assert face["person"] == "reference" and face["with_references"]
    assert tree(tmp_path / "maps") == ["out.png.face0.attribution.png", "out.png.face0.invention.png"]


def test_photographs_that_cannot_be_used_are_said(tmp_path, people, capsys):
    folder = tmp_path / "anna"
    portray(folder / "good.png", "anna")
    paint(folder / "tiny.png", (50, 50))
    (folder / "broken.png").write_bytes(b"")
    picture = portray(tmp_path / "in.png", "anna", blur=12)
    assert restore(picture, "-o", tmp_path / "out.png", "--reference", folder, "--report", "-") == 0
    out, err = capsys.readouterr()
    refused = {Path(r["photograph"]).name: r["reason"] for r in json.loads(out)["references"]["refused"]}
    assert "no face" in refused["tiny.png"] and "empty" in refused["broken.png"] and len(refused) == 2
    assert "tiny.png is not used" in err and "broken.png" in err
    assert len(people[0].given) == 1


def test_an_empty_folder_among_those_of_people_is_passed_over(tmp_path, people, capsys):
    picture = portray(tmp_path / "in/a.png", "anna", blur=3)
    portray(tmp_path / "family/anna/1.png", "anna")
    (tmp_path / "family/bob").mkdir()
    command = (picture, "-o", tmp_path / "out.png", "--reference", tmp_path / "family", "--report", "-")
    assert restore(*command) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["references"]["people"] == {"anna": [str(tmp_path / "family/anna/1.png")]}
    assert f"{tmp_path / 'family/bob'}: no pictures are in it; it is passed over." in err


def test_references_are_encoded_once_and_saved(tmp_path, people, capsys):
    anna, bob = portray(tmp_path / "anna/1.png", "anna"), portray(tmp_path / "bob.png", "bob")
    saved = tmp_path / "anna.safetensors"
    assert main(["references", str(tmp_path / "anna"), "-o", str(saved), "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["people"] == {"anna": [str(anna)]}
    picture = portray(tmp_path / "in.png", "anna", blur=12)
    anna.unlink()
    command = (picture, "-o", tmp_path / "out.png", "--report", "-", "--reference", saved, bob)
    assert restore(*command) == 0
    assert json.loads(capsys.readouterr().out)["references"]["people"] == {"anna": [str(anna)], "reference": [str(bob)]}
    assert people[-1].given == [[(str(anna),)]]
    before = saved.read_bytes()
    for arguments, words in (
        ((str(bob), "-o", str(saved)), "is there already"),
        ((str(bob), "-o", str(tmp_path / "bob.png"), "--overwrite"), "expected a file that ends in .safetensors"),
        ((str(saved), str(saved), "-o", str(tmp_path / "b.safetensors")), "'anna' is in two"),
    ):
        assert main(["references", *arguments]) == 2
        assert words in capsys.readouterr().err
    assert saved.read_bytes() == before and not (tmp_path / "b.safetensors").exists()


def test_saved_references_are_put_together(tmp_path, people, capsys):
    doubt, refusal = ("poor.png", "it may be somebody else"), ("none.png", "no face")
    for name in ("anna", "bob"):
        saved = tmp_path / f"{name}.safetensors"
        main(["references", str(portray(tmp_path / name / "1.png", name)), "-o", str(saved)])
        save_references(replace(load_references(saved), refused=(refusal,), doubted=(doubt,)), saved)
    picture = portray(tmp_path / "in.png", "anna", blur=12)
    both = ("--reference", tmp_path / "anna.safetensors", tmp_path / "bob.safetensors")
    capsys.readouterr()
    # Each photograph lies in no folder of its own, so that both are of the same name.
    assert restore(picture, "-o", tmp_path / "out.png", *both) == 2
    assert "'reference' is in two of the saved references" in capsys.readouterr().err
    other = load_references(tmp_path / "bob.safetensors")
    save_references(replace(other, people=(replace(other.people[0], name="bob"),)), tmp_path / "bob.safetensors")
    assert restore(picture, "-o", tmp_path / "out.png", "--report", "-", *both) == 0
    found = json.loads(capsys.readouterr().out)["references"]
    assert list(found["people"]) == ["reference", "bob"]
    assert [entry["photograph"] for entry in found["refused"]] == ["none.png"] * 2
    assert [entry["photograph"] for entry in found["doubted"]] == ["poor.png"] * 2
    save_references(replace(other, embedded_by=("a" * 16, "c" * 16)), tmp_path / "bob.safetensors")
    assert restore(picture, "-o", tmp_path / "out.png", "--overwrite", *both) == 2
    assert "different restorers or embedders; make them anew" in capsys.readouterr().err


def test_saved_references_of_another_restorer(tmp_path, people, capsys, monkeypatch):
    saved = tmp_path / "anna.safetensors"
    main(["references", str(portray(tmp_path / "1.png", "anna")), "-o", str(saved)])
    monkeypatch.setattr(Giving, "fingerprint", "f" * 16, raising=False)
    other = Giving()
    other.fingerprint = "f" * 16
    monkeypatch.setattr(restore_room, "load_restorer", lambda *args: other)
    picture = portray(tmp_path / "in.png", "anna", blur=12)
    assert restore(picture, "-o", tmp_path / "out.png", "--reference", saved) == 2
    assert "were encoded by the restorer 0000000000000000" in capsys.readouterr().err


def test_whole_face_restorers_go_on_without_references(tmp_path, fakes, capsys):
    paint(tmp_path / "a.png")
    command = (tmp_path / "a.png", "-o", tmp_path / "out", "--reference", tmp_path / "a.png", "--report", "-")
    assert restore(*command) == 0
    out, err = capsys.readouterr()
    assert "cannot read references" in json.loads(out)["references"]["unused"] and "without them" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--match", "0=anna"), "--match needs --reference"),
        (("--maps", "maps"), "--maps needs --reference"),
        (("--match-threshold", "0.5"), "--match-threshold needs --reference"),
        (("--reference", "anna", "--match", "anna"), "The matches were 'anna'"),
        (("--reference", "anna", "--match", "0=zoe"), "'zoe' is not among the people of the references; expected one"),
        (("--reference", "anna", "--reference-strength", "2"), "strength of the references was 2"),
        (("--reference", "anna", "--match-threshold", "1"), "threshold of matching was 1; expected a chance above 0"),
        (("--reference", "anna", "--maps", "in"), "pictures are read from there"),
        (("--reference", "anna", "--maps", "in/a.png"), "is a file; expected a folder"),
        (("--reference", "missing"), "missing: no such file"),
        (("--reference", "empty"), "neither the folder nor those in it hold pictures"),
        (("--reference", "notes.txt"), "no picture's"),
        (("--reference", "poor.png"), "None of the references can be used (poor.png: its face is too damaged"),
        (("--reference", "notes.safetensors"), "holds no references"),
    ],
)
def test_bad_usage_of_references(tmp_path, people, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "in/a.png")
    portray(tmp_path / "anna/1.png", "anna")
    paint(tmp_path / "poor.png")
    (tmp_path / "empty").mkdir()
    for name in ("notes.txt", "notes.safetensors"):
        (tmp_path / name).write_text("a note")
    before = tree(tmp_path)
    assert restore("in", "-o", "out", *arguments) == 2
    assert words in capsys.readouterr().err
    assert tree(tmp_path) == before


@pytest.fixture
def refining(monkeypatch):
    """A restorer that refines in the place of the real one."""
    restorer = Giving(prior=True)
    monkeypatch.setattr(restore_room, "load_restorer", lambda *args: restorer)
    monkeypatch.setattr(restore_room, "detector_from", lambda args: one_face)
    monkeypatch.setattr(restore_room, "BuiltinEmbedder", lambda device: ColourEmbedder())
    return restorer


def test_refinement_is_done_and_reported(tmp_path, refining, capsys):
    picture = portray(tmp_path / "in.png", "anna", blur=12)

    def restored(*arguments):
        assert restore(picture, "-o", tmp_path / "out.png", "--overwrite", "--report", "-", *arguments) == 0
        report = json.loads(capsys.readouterr().out)
        return read_photo(tmp_path / "out.png").pixels, report["options"]["refinement"], report["pictures"][0]["faces"]

    plain, options, (face,) = restored()
    assert options["steps"] == 0 and "refined" not in face
    assert torch.equal(restored("--refine", 0)[0], plain)
    refined, options, (face,) = restored("--refine", 2, "--seed", 7)
    assert options == {"steps": 2, "identity": 0.0, "seed": 7, "candidates": 1}
    assert face["refined"] == {"candidate": 0, "stopped": None, "spread": None}
    assert not torch.equal(refined, plain) and not torch.equal(refined, restored("--refine", 2)[0])
    assert torch.equal(refined, restored("--refine", 2, "--seed", 7)[0])
    _, options, (face,) = restored("--refine", 1, "--candidates", 3, "--aligned")
    assert options["candidates"] == 3 and face["refined"]["spread"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--refine", "9"), "Got 9 steps of refinement; expected 0"),
        (("--refine", "2", "--identity", "2"), "The strength of the identity was 2; expected 0 to 1"),
        (("--refine", "2", "--candidates", "9"), "Got 9 candidates; expected 1 to 8"),
        (("--refine", "2", "--seed", "-1"), "The seed was -1"),
        (("--identity", "0.5"), "--identity needs --refine"),
        (("--refine", "0", "--seed", "3"), "--seed needs --refine"),
        (("--candidates", "2"), "--candidates needs --refine"),
    ],
)
def test_bad_usage_of_refinement(tmp_path, refining, capsys, arguments, words):
    picture = portray(tmp_path / "in.png", "anna", blur=12)
    assert restore(picture, "-o", tmp_path / "out.png", *arguments) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out.png").exists()


def test_a_restorer_that_cannot_refine(tmp_path, fakes, capsys):
    paint(tmp_path / "a.png")
    assert restore(tmp_path / "a.png", "-o", tmp_path / "out", "--refine", 1) == 2
    assert "'darker' has no prior over clean latents" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert restore(tmp_path / "a.png", "-o", tmp_path / "out", "--refine", 0) == 0


def test_inspect(tmp_path, capsys):
    from safetensors.torch import save_file

    save_file({"some.weight": torch.zeros(3, 4, dtype=torch.float16)}, tmp_path / "a.safetensors")
    (tmp_path / "b.pth").write_bytes(b"<html>not found</html>")
    assert main(["inspect", str(tmp_path / "a.safetensors"), str(tmp_path / "b.pth")]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first["architecture"] is None and first["parameters"] == 12 and first["dtypes"] == ["float16"]
    assert second["path"] == str(tmp_path / "b.pth") and "web page" in second["error"]


def test_the_installed_command_answers_quickly_and_by_itself():
    command = Path(sys.executable).with_name("resemblance")
    result = subprocess.run([command, "restore", "--help"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0 and "--overwrite" in result.stdout
    assert subprocess.run([command], capture_output=True, timeout=30).returncode == 2


def test_the_readme_shows_commands_that_exist():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = [
        line.split("&& .venv/bin/")[-1]
        for line in text.splitlines()
        if re.search(r"(^|bin/)resemblance \w+ .*\S", line)
    ]
    assert len(shown) >= 7
    for line in shown:
        command = shlex.split(line, comments=True)
        assert command[0] == "resemblance"
        build_parser().parse_args(command[1:])


def test_the_readme_has_the_command_that_ci_runs():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"<!-- test command -->\n```sh\n(.*)\n```\n", text)
    assert command.endswith("pytest") and "ruff check" in command and "mypy" in command


def test_the_readme_shows_python_that_runs(tmp_path, monkeypatch):
    root = Path(__file__).parents[2]
    (code,) = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Image.open(root / "tests/photos/astronaut_damaged.jpg").save("old.jpg", quality=95)
    exec(compile(code, "README.md", "exec"), {})
    before, after = (np.asarray(Image.open(name).convert("RGB"), int) for name in ("old.jpg", "new.png"))
    assert before.shape == after.shape and np.abs(after - before).max() > 20
