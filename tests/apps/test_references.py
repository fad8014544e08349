import json
from dataclasses import replace
from pathlib import Path

import pytest
from command import paint, portray, restore, tree
from people import Giving
from resemblance.core.apps import restore as restore_room
from resemblance.core.apps.cli import main
from resemblance.core.files import formats
from resemblance.core.references.saving import load_references, save_references


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--match", "1=anna"), "--match needs --reference"),
        (("--maps", "maps"), "--maps needs --reference"),
        (("--match-threshold", "0.5"), "--match-threshold needs --reference"),
        (("--reference", "anna", "--match", "anna"), "The matches were 'anna'"),
        (("--reference", "anna", "--match", "1=zoe"), "'zoe' is not among the people of the references; expected one"),
        (("--reference", "anna", "--reference-strength", "2"), "strength of the references was 2"),
        (("--reference", "anna", "--match-threshold", "1"), "threshold of matching was 1; expected a chance above 0"),
        (("--reference", "anna", "--maps", "in"), "pictures are read from there"),
        (("--reference", "anna", "--maps", "in/a.png"), "is a file; expected a folder"),
        (("--reference", "missing"), "Cannot find 'missing'"),
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


def test_pictures_that_are_not_read_are_named(tmp_path, people, capsys, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    picture = portray(tmp_path / "in.png", "anna", blur=12)
    portray(tmp_path / "family/anna/1.png", "anna")
    for name in ("anna/2.HEIC", "bob/1.nef"):
        (tmp_path / "family" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "family" / name).write_bytes(b"content")
    command = (picture, "-o", tmp_path / "out.png", "--report", "-", "--reference")
    assert restore(*command, tmp_path / "family") == 0
    out, err = capsys.readouterr()
    refused = {Path(entry["photograph"]).name: entry["reason"] for entry in json.loads(out)["references"]["refused"]}
    assert 'pip install "resemblance[formats]"' in refused["2.HEIC"] and "raw file is not read" in refused["1.nef"]
    assert err.count("Passed over: ") == 2
    assert restore(*command, tmp_path / "family/bob", "--overwrite") == 2
    assert "None of the references can be used" in capsys.readouterr().err
