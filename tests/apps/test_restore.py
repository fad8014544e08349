import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Darker, one_face, paint, portray, restore, tree
from PIL import Image
from resemblance.core.apps import restore as restore_room
from resemblance.core.faces.crop import face_mask
from resemblance.core.files.images import read_photo

SLOW = """
import sys, threading
from pathlib import Path
from resemblance.core.apps import restore
class Slow:
    # The second face takes until a signal comes.
    name, fingerprint, licence, network = "slow", "0", "none", None
    with_tokens = None
    calls = 0
    def restore(self, faces, fidelity=None, progress=None):
        self.calls += 1
        if self.calls == 2:
            Path("waiting").touch()
            threading.Event().wait(60)
        return faces
restore.load_restorer = lambda *args: Slow()
from resemblance.core.apps.cli import build_parser, main
sys.exit(main(sys.argv[1:]))
"""


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
    assert len(lines) == 7 and all("expected" in line or "Cannot find" in line for line in lines)


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


def test_a_report_that_cannot_be_written_loses_no_picture(tmp_path, fakes, capsys, monkeypatch):
    paint(tmp_path / "a.png")

    def a_folder_comes_in_between(photos):
        (tmp_path / "r.json").mkdir()
        return one_face(photos)

    monkeypatch.setattr(restore_room, "detector_from", lambda args: a_folder_comes_in_between)
    command = (tmp_path / "a.png", "-o", tmp_path / "out", "--report", tmp_path / "r.json")
    assert restore(*command) == 1
    assert tree(tmp_path / "out") == ["a.png"] and "r.json" in capsys.readouterr().err
    (tmp_path / "r.json").rmdir()
    assert restore(*command) == 0  # what was done is known
    (picture,) = json.loads((tmp_path / "r.json").read_text())["pictures"]
    assert picture["status"] == "skipped" and picture["faces"][0]["strength"] == 1
    assert tree(tmp_path) == ["a.png", "out/a.png", "r.json"]


class Breaking(Darker):
    """Fails as networks of others do, at its first face."""

    error, calls = Exception("INVALID_ARGUMENT"), 0

    def restore(self, faces, fidelity=None, progress=None):
        self.calls += 1
        if self.calls == 1:
            raise self.error
        return faces * 0.5


def test_each_failure_is_its_own(tmp_path, fakes, capsys, monkeypatch):
    monkeypatch.setattr(restore_room, "load_restorer", lambda *args: Breaking())
    paint(tmp_path / "in/a.png")
    paint(tmp_path / "in/b.png")
    assert restore(tmp_path / "in", "-o", tmp_path / "out") == 1
    assert tree(tmp_path / "out") == ["b.png"]
    assert f"Failed: {tmp_path / 'in/a.png'}: Exception: INVALID_ARGUMENT" in capsys.readouterr().err


def test_what_is_no_number_does_not_lose_the_report(tmp_path, fakes, monkeypatch):
    record = restore_room.restored_record
    monkeypatch.setattr(restore_room, "restored_record", lambda face: record(face) | {"invented": float("nan")})
    paint(tmp_path / "a.png")
    assert restore(tmp_path / "a.png", "-o", tmp_path / "out", "--report", tmp_path / "r.json") == 0
    (picture,) = json.loads((tmp_path / "r.json").read_text())["pictures"]
    assert picture["faces"][0]["invented"] is None and picture["status"] == "restored"


def test_a_map_that_cannot_be_written_comes_with_the_next_run(tmp_path, people):
    reference = portray(tmp_path / "anna.png", "anna")
    picture = portray(tmp_path / "in.png", "anna", blur=12)
    command = (picture, "-o", tmp_path / "out", "--reference", reference, "--maps", tmp_path / "maps")
    blocked = tmp_path / "maps/in.png.face1.invention.png"
    blocked.mkdir(parents=True)
    assert restore(*command) == 1
    assert tree(tmp_path / "out") == []
    blocked.rmdir()
    assert restore(*command) == 0
    assert tree(tmp_path / "out") == ["in.png"]
    assert tree(tmp_path / "maps") == ["in.png.face1.attribution.png", "in.png.face1.invention.png"]


def test_a_folder_or_an_empty_file_is_no_result(tmp_path, fakes, capsys):
    paint(tmp_path / "in/a.png")
    paint(tmp_path / "in/b.png")
    (tmp_path / "out/a.png").mkdir(parents=True)
    (tmp_path / "out/b.png").touch()
    assert restore(tmp_path / "in", "-o", tmp_path / "out") == 1
    assert read_photo(tmp_path / "out/b.png").pixels.shape == (3, 120, 160)
    assert f"{tmp_path / 'out/a.png'} is a folder; expected a place for the picture" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="a kill that cannot be caught")
def test_a_killed_command_is_gone_on_with_and_its_report_is_whole(tmp_path):
    for number in range(3):
        paint(tmp_path / f"in/{number}.png", (512, 512))
    command = ["restore", tmp_path / "in", "-o", tmp_path / "out", "--aligned", "--report", tmp_path / "r.json"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, command)], stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    assert tree(tmp_path / "out") == ["0.png"] and not (tmp_path / "r.json").exists()
    code = "from resemblance.core.apps import restore\n" + SLOW.replace("self.calls == 2", "False")
    assert subprocess.run([sys.executable, "-c", code, *map(str, command)], cwd=tmp_path).returncode == 0
    first, *others = json.loads((tmp_path / "r.json").read_text())["pictures"]
    assert first["status"] == "skipped" and first["seconds"] >= 0 and [e["status"] for e in others] == ["restored"] * 2
    assert not list(tmp_path.glob(".*.part"))


def test_a_jpeg_that_is_cut_short(tmp_path, fakes, capsys):
    source = paint(tmp_path / "in/a.jpg", (160, 160), quality=95)
    source.write_bytes(source.read_bytes()[: int(0.85 * source.stat().st_size)])
    command = (tmp_path / "in", "-o", tmp_path / "out", "--report", "-")
    assert restore(*command) == 0
    out, err = capsys.readouterr()
    (picture,) = json.loads(out)["pictures"]
    (note,) = picture["notes"]
    assert picture["status"] == "restored" and "it is cut short" in note and f"{source}: {note}." in err
    assert restore(*command, "--strict", "--overwrite") == 1
    assert "broken" in capsys.readouterr().err


def test_what_a_format_cannot_hold_is_in_the_report(tmp_path, fakes, capsys):
    paint(tmp_path / "a.jpg", comment="hello")
    assert restore(tmp_path / "a.jpg", "-o", tmp_path / "b.tif", "--report", "-") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["pictures"][0]["notes"] == ["TIFF has no place for the text 'Comment'"]
    assert "TIFF has no place for the text 'Comment'." in err


def test_without_grain(tmp_path, fakes, capsys):
    source = paint(tmp_path / "a.png")
    grainy = np.asarray(Image.open(source), float) + np.random.default_rng(0).normal(0, 6, (120, 160, 3))
    Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(source)
    rough = {}
    for name, options in (("grain", ()), ("none", ("--no-grain",))):
        command = (source, "-o", tmp_path / f"{name}.png", "--strength", "1", "--report", "-", *options)
        assert restore(*command) == 0
        assert json.loads(capsys.readouterr().out)["options"]["grain"] == (name == "grain")
        rough[name] = read_photo(tmp_path / f"{name}.png").pixels
    assert not torch.equal(rough["grain"], rough["none"])


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


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_cleanly(tmp_path, kill):
    for number in range(3):
        paint(tmp_path / f"in/{number}.png", (512, 512))
    command = ["restore", tmp_path / "in", "-o", tmp_path / "out", "--aligned", "--report", tmp_path / "r.json"]
    # Where the tests themselves run in the background, interrupts are ignored, and what they start would inherit that.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-c", SLOW, *map(str, command)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=heard, cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(kill)
        assert process.wait(30) == 130
    assert json.loads((tmp_path / "r.json").read_text())["counts"] == {"restored": 1, "pending": 2}
    assert tree(tmp_path / "out") == ["0.png"] and read_photo(tmp_path / "out/0.png").pixels.shape == (3, 512, 512)


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
    assert list(first["taken"]) == anna
    assert second["person"] is None and not second["with_references"] and "needed" in second["match"]["reason"]
    assert people[0].given == [[tuple(anna)]]
    told = capsys.readouterr().err
    assert "1 restored, 1 with references (anna, 100% sure)" in told
    assert (
        "1 restored, none with references (the likeliest is" in told and "50% needed; or name the face by hand)" in told
    )
    assert tree(tmp_path / "maps") == ["anna.png.face1.attribution.png", "anna.png.face1.invention.png"]
    assert read_photo(tmp_path / "maps/anna.png.face1.attribution.png").pixels.shape == (3, 512, 512)
    invention = read_photo(tmp_path / "maps/anna.png.face1.invention.png").pixels[0].numpy()
    # Of the face as its mask weighs it; the picture has levels of 8 bits.
    assert first["invented"] == pytest.approx(np.average(invention, weights=face_mask()[0].numpy()), abs=1e-3)


def test_by_hand_and_by_strength(tmp_path, people, capsys):
    reference = portray(tmp_path / "anna.png", "anna")
    portray(tmp_path / "in/cem.png", "cem", blur=12)
    command = (tmp_path / "in", "--reference", reference, "--overwrite", "-o", tmp_path / "out")
    assert restore(*command, "--match", "1=reference") == 0
    assert people[-1].given == [[(str(reference),)]]
    told = capsys.readouterr().err
    assert "1 with references (named by hand, but probably somebody else: 3% likely to be reference)" in told
    assert restore(*command, "--match", "1=reference", "--reference-strength", "0") == 0
    assert people[-1].given == [] and "none with references" in capsys.readouterr().err
    assert restore(*command, "--match", "7=reference") == 1
    assert "7=reference names no face: expected one of the faces 1." in capsys.readouterr().err
    portray(tmp_path / "in/dora.png", "anna", blur=12)
    assert restore(*command, "--match", "7=reference") == 0  # of several pictures, not every one has every face
    (tmp_path / "in/dora.png").unlink()
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
    assert tree(tmp_path / "maps") == ["out.png.face1.attribution.png", "out.png.face1.invention.png"]


def test_whole_face_restorers_go_on_without_references(tmp_path, fakes, capsys):
    paint(tmp_path / "a.png")
    command = (tmp_path / "a.png", "-o", tmp_path / "out", "--reference", tmp_path / "a.png", "--report", "-")
    assert restore(*command) == 0
    out, err = capsys.readouterr()
    assert "cannot read references" in json.loads(out)["references"]["unused"] and "without them" in err


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


def test_without_a_place_results_go_beside_the_picture(tmp_path, fakes, capsys):
    source = paint(tmp_path / "in" / "a.jpg")
    assert restore(source) == 0
    assert tree(tmp_path / "in" / "restored") == ["a.jpg"]
    assert f"Results go to {tmp_path / 'in' / 'restored'}; -o names another place." in capsys.readouterr().err
