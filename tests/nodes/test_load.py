import os

import pytest
import torch


def test_files_are_listed_by_their_content(nodes, models_dir, codeformer_file, comfy):
    from safetensors.torch import save_file

    mine = models_dir.parent / "mine"
    for folder in (models_dir / "facerestore_models" / "sub", models_dir / "face_restore", mine):
        folder.mkdir(parents=True)
    comfy.folder_paths.folder_names_and_paths["facerestore_models"] = ([str(mine)], set())
    (mine / "strange name.bin").write_bytes(codeformer_file.read_bytes())
    (models_dir / "face_restore" / "CF.pth").write_bytes(codeformer_file.read_bytes())
    (models_dir / "facerestore_models" / "sub" / "codeformer.pth").write_bytes(codeformer_file.read_bytes())
    save_file({"conv.weight": torch.zeros(3)}, models_dir / "facerestore_models" / "codeformer.safetensors")
    (models_dir / "facerestore_models" / "GFPGANv1.4.pth").write_text("<html>not found</html>")
    (models_dir / "facerestore_models" / "notes.txt").write_bytes(codeformer_file.read_bytes())

    def listed():
        return nodes["ResemblanceLoadRestorer"].define_schema().inputs[0].options

    assert listed() == ["built-in", "strange name.bin", os.path.join("sub", "codeformer.pth"), "CF.pth"]
    (mine / "strange name.bin").write_bytes(b"")  # the header is read again when the file changes
    assert "strange name.bin" not in listed()


def test_onnx_files_are_judged_by_size_and_name(nodes, models_dir, monkeypatch):
    from resemblance.core.restorers import table as restorers

    monkeypatch.setattr(restorers.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(restorers, "SMALLEST_ONNX", 1000)
    folder = models_dir / "facerestore_models"
    folder.mkdir(parents=True)
    for name, size in (("GPEN-BFR-512.onnx", 1000), ("GPEN-BFR-1024.onnx", 1000), ("det_500m.onnx", 999)):
        (folder / name).write_bytes(b"\x08" + bytes(size - 1))
    options = nodes["ResemblanceLoadRestorer"].define_schema().inputs[0].options
    assert options == ["built-in", "GPEN-BFR-512.onnx"]
    monkeypatch.setattr(restorers.importlib.util, "find_spec", lambda name: None)
    assert not restorers.can_load(folder / "GPEN-BFR-512.onnx")


def test_a_file_that_went_away_is_named(run, models_dir):
    with pytest.raises(FileNotFoundError, match=r"'gone.pth' was listed, but is no longer in .*facerestore_models"):
        run("LoadRestorer", file="gone.pth")


def test_the_fingerprint_follows_the_file(nodes, codeformer, models_dir):
    node = nodes["ResemblanceLoadRestorer"]
    path = models_dir / "facerestore_models" / "codeformer.pth"
    before = node.fingerprint_inputs(file="codeformer.pth")
    assert node.fingerprint_inputs(file="codeformer.pth") == before
    os.utime(path, ns=(1, 1))
    assert node.fingerprint_inputs(file="codeformer.pth") != before
    path.unlink()
    assert node.fingerprint_inputs(file="codeformer.pth") not in (before, None)
    assert node.fingerprint_inputs(file="built-in") == node.fingerprint_inputs(file="built-in")
    node.fingerprint_inputs(file=None)  # what a linked input is at that time
