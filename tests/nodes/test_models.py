import pytest
import torch
from by_hand import found


def test_folders_are_merged_and_never_overwritten(comfy, models_dir, nodes):
    from resemblance.nodes import models as ours

    known = comfy.folder_paths.folder_names_and_paths
    known["facerestore_models"] = (["/mine"], {".pth"})  # as extra_model_paths.yaml or another pack leaves it
    for _ in range(2):
        ours.merge_folders()
        assert known["facerestore_models"] == (["/mine", str(models_dir / "facerestore_models")], {".pth"})
    paths, extensions = known["face_restore"]
    assert paths == [str(models_dir / "face_restore")] and ".safetensors" in extensions and ".onnx" in extensions


def test_restorers_are_read_once(run, codeformer, models_dir, monkeypatch):
    from resemblance.nodes import models as ours

    monkeypatch.setattr(ours, "load_restorer", lambda *_: pytest.fail("read from disk again"))
    assert run("LoadRestorer", file="codeformer.pth")[0] is codeformer
    monkeypatch.undo()
    assert ours.get_restorer() is ours.get_restorer()


def test_the_built_in_restorer_is_computed_with_as_core_does(run):
    from resemblance.core.restorers.table import builtin_restorer

    ours, core = run("LoadRestorer")[0], builtin_restorer()
    assert (ours.name, ours.fingerprint) == (core.name, core.fingerprint)
    face = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.restore(face), core.restore(face))
    assert not next(ours.network.parameters()).is_inference()


def test_networks_are_under_the_hosts_management(run, comfy, codeformer, photos):
    run("RestoreCrops", crops=run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0], restorer=codeformer)
    run("DetectFaces", image=photos, detector="builtin")
    held = [type(loaded.model.model).__name__ for loaded in comfy.management.current_loaded_models]
    assert "CodeFormer" in held and "FaceDetector" in held
