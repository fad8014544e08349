import json
from pathlib import Path

import pytest
from command import paint, restore, tree
from PIL import Image
from resemblance.core.apps.files import Job, UsageError, folder_beside, is_done, resolve_outputs
from resemblance.core.files import formats


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
        (("x/a.png", "y/a.png", "-o", "out", "--format", "jpg"), "would both be written to"),
        (("x/a.png", "x/a.jpg", "-o", "out.png"), "2 photos but one output name"),
        (("x", "-o", "x/a.png"), "2 photos but one output name"),
        (("x/a.png", "-o", "b.png", "--format", "jpg"), "different formats"),
        (("x/a.png", "-o", "notes"), "is a file; expected a folder"),
        (("x/a.png", "-o", "out", "--report", "out/a.png"), "give another place"),
        (("x/a.png", "-o", "out", "--report", "out/../x/../out/a.png"), "give another place"),
        (("x/a.png", "-o", "out", "--report", "y"), "--report y is a folder; expected a file"),
        (("x/a.png", "-o", "out", "--report", "notes/r.json"), "--report notes/r.json cannot be written"),
        (("x/a.png", "-o", "out", "--fidelity", "1.5"), "fidelity was 1.5; expected 0 to 1"),
        (("x/a.png", "-o", "out", "--strength", "2"), "--strength was 2; expected 0 to 1"),
        (("x/a.png", "-o", "out", "--format", "gif"), "invalid choice"),
        (("x/a.png", "-o", "out", "--aligned", "--scale", "2"), "--scale does nothing"),
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


def test_pictures_of_one_name_get_two(tmp_path, fakes):
    for name in ("a.png", "a.jpg", "a.webp", "b.jpg", "c.jpg", "c.webp"):
        paint(tmp_path / "in" / name)
    assert restore(tmp_path / "in", "-o", tmp_path / "out", "--format", "png") == 0
    assert tree(tmp_path / "out") == ["a.jpg.png", "a.png", "a.webp.png", "b.png", "c.jpg.png", "c.webp.png"]


def test_what_is_only_read_becomes_png(tmp_path, fakes):
    paint(tmp_path / "in/a.gif")
    paint(tmp_path / "in/b.gif", (50, 50))  # too small for a face
    paint(tmp_path / "in/b.png")
    assert restore(tmp_path / "in", "-o", tmp_path / "out") == 0
    assert tree(tmp_path / "out") == ["a.png", "b.gif.png", "b.png"]
    with Image.open(tmp_path / "out/b.gif.png") as image:
        assert image.format == "PNG"
    assert restore(tmp_path / "in/a.gif", "-o", tmp_path / "out2", "--format", "jpg") == 0
    assert tree(tmp_path / "out2") == ["a.jpg"]


def test_pictures_that_are_not_read_are_named(tmp_path, fakes, capsys, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    paint(tmp_path / "in/a.png")
    for name in ("b.CR2", "c.heic", "d.jxl", "e.psd", "notes.txt", "film.mp4", ".hidden.heic"):
        (tmp_path / "in" / name).write_bytes(b"content")
    assert restore(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.json") == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["counts"] == {"restored": 1, "passed over": 4}
    messages = {Path(p["input"]).name: p["message"] for p in report["pictures"] if p["status"] == "passed over"}
    assert "raw file is not read; develop it" in messages["b.CR2"] and "convert it to PNG" in messages["e.psd"]
    assert all('pip install "resemblance[formats]"' in messages[name] for name in ("c.heic", "d.jxl"))
    told = capsys.readouterr().err
    assert told.count("Passed over: ") == 4 and all(message in told for message in messages.values())
    # One that is named fails.
    assert restore(tmp_path / "in/c.heic", "-o", tmp_path / "out") == 1
    assert "Failed: " in capsys.readouterr().err


def test_only_a_file_with_something_in_it_is_a_result(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_bytes(b"x")
    assert [is_done(tmp_path / name) for name in ("folder", "empty", "full", "none")] == [False, False, True, False]


def test_results_that_nobody_named_a_place_for_go_beside_the_pictures(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    beside = tmp_path / "photos" / "restored"
    assert folder_beside([str(tmp_path / "photos" / "a.jpg"), "elsewhere.jpg"], "restored") == beside
    assert folder_beside([str(tmp_path / "photos" / "*.jpg")], "restored") == beside
    assert folder_beside([str(tmp_path / "photos")], "restored") == tmp_path / "restored"
    assert folder_beside(["*/a.jpg"], "restored") == Path("restored")
    monkeypatch.chdir(tmp_path / "photos")
    assert folder_beside(["."], "restored") == tmp_path / "restored"


def test_a_format_that_is_not_written_is_no_folder(tmp_path):
    with pytest.raises(UsageError, match=r"-o .*new\.gif: this format is read but not written; expected one of \.png"):
        resolve_outputs([Job(tmp_path / "a.jpg", Path("a.jpg"))], tmp_path / "new.gif")
