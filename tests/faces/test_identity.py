import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from resemblance.core.faces import identity
from resemblance.core.faces.crop import aligned_crops, crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.faces.evidence import TERMS
from resemblance.core.faces.identity import BuiltinEmbedder, load_embedder, load_embedders, read_calibration
from resemblance.core.faces.measure import measure_quality
from resemblance.core.files.checkpoints import fingerprint, fingerprint_file, read
from resemblance.core.files.images import read_photo
from safetensors.torch import save_file

PHOTOS = Path(__file__).parents[1] / "photos"
FACES = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def builtin():
    return load_embedder("built-in")


@pytest.fixture
def recognition(assets):
    pytest.importorskip("insightface.model_zoo")
    from resemblance.core.training.assets import asset

    return asset("arcface", assets)


@pytest.fixture
def with_insightface(recognition, tmp_path):
    pack = tmp_path / "insightface" / "models" / "buffalo_s"
    pack.mkdir(parents=True)
    shutil.copy(recognition, pack / "w600k_mbf.onnx")
    return tmp_path


def check(embedder, length):
    embeddings = embedder.embed(FACES)
    assert embeddings.shape == (2, length) and embeddings.dtype == torch.float32 and not embeddings.requires_grad
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(embedder.embed(FACES[1:]), embeddings[1:], atol=1e-5, rtol=0)
    assert embedder.embed(FACES[:0]).shape == (0, length)
    for wrong in (FACES[0], FACES[:, :, :256, :256], FACES.byte()):
        with pytest.raises(ValueError, match=r"expected aligned faces, float, \(N, 3, 512, 512\)"):
            embedder.embed(wrong)


def test_the_builtin_embedder(builtin):
    assert builtin.name == "built-in"
    check(builtin, 128)
    assert builtin.fingerprint == fingerprint(read(identity.WEIGHTS))
    with torch.inference_mode():  # as a host calls it
        assert torch.equal(builtin.embed(FACES), builtin.embed(FACES))


@pytest.mark.parametrize("severity", ["moderate", "severe"])
def test_damaged_faces_are_most_like_themselves(builtin, severity):
    degradation = pytest.importorskip("resemblance.core.training.degradation")
    photos = [read_photo(PHOTOS / f"{name}.jpg").pixels for name in ("portrait_male_93", "member_001006")]
    photos.append(read_photo(PHOTOS / "member_021752.jpg").pixels)
    clean = torch.cat([crop_faces([p], detect_faces([p], backend="built-in", max_faces=1)).pixels for p in photos])
    pictures = [(face.permute(1, 2, 0) * 255).round().byte().numpy() for face in clean]
    damaged = np.stack([degradation.degrade(x, severity, np.random.default_rng(0)) for x in pictures])
    damaged = torch.from_numpy(damaged).permute(0, 3, 1, 2).float() / 255
    cosines = builtin.embed(damaged) @ builtin.embed(clean).T
    assert cosines.argmax(1).tolist() == [0, 1, 2]
    evidence = builtin.calibration.evidence(cosines, measure_quality(aligned_crops(damaged)), [1] * 3)
    if severity == "moderate":
        assert (evidence > 0).int().tolist() == torch.eye(3).int().tolist()
    assert evidence.argmax(1).tolist() == [0, 1, 2]


def test_the_weights_stay_small():
    assert identity.WEIGHTS.stat().st_size <= 20_000_000


def test_insightface_is_its_network_on_its_alignment(with_insightface, assets):
    """Against the library's own way from a picture and five points to an embedding."""
    from insightface.utils import face_align
    from resemblance.core.geometry import TEMPLATE
    from resemblance.core.training.judges import Recognizer

    embedder = load_embedder("insightface", models_dir=with_insightface)
    assert embedder.name == "insightface" and embedder.network is None
    assert embedder.fingerprint == fingerprint_file(embedder.path)
    assert embedder.calibration == read_calibration(identity.WEIGHTS, "insightface")
    check(embedder, 512)
    photo = read_photo(PHOTOS / "portrait_male_93.jpg").pixels[None]
    face = crop_faces(photo, detect_faces(photo, backend="built-in")[:1]).pixels
    bgr = np.ascontiguousarray((face[0].flip(0).permute(1, 2, 0) * 255).round().byte().numpy())
    theirs = embedder._model.get_feat(face_align.norm_crop(bgr, np.array(TEMPLATE)))[0]
    ours = embedder.embed(face)[0].numpy()
    assert ours @ theirs / np.linalg.norm(theirs) > 0.95
    rebuilt = Recognizer("arcface", assets)(face).numpy()[0]
    assert ours @ rebuilt > 0.9999


def test_auto_takes_insightface_where_its_file_is(with_insightface, tmp_path, monkeypatch):
    assert load_embedder("auto", models_dir=with_insightface).name == "insightface"
    assert load_embedder().name == "built-in"
    monkeypatch.setattr(identity.importlib.util, "find_spec", lambda name: None)
    assert load_embedder("auto", models_dir=with_insightface).name == "built-in"
    with pytest.raises(ValueError, match=r"pip install insightface.*built-in"):
        load_embedder("insightface", models_dir=with_insightface)


def test_auto_passes_over_files_that_do_not_load(tmp_path, caplog):
    pytest.importorskip("insightface.model_zoo")
    (tmp_path / "w600k_r50.onnx").write_bytes(b"not a network")
    with caplog.at_level(logging.WARNING):
        assert load_embedder("auto", models_dir=tmp_path).name == "built-in"
    assert "w600k_r50.onnx" in caplog.text
    with pytest.raises(ValueError, match="face-recognition network"):
        load_embedder("insightface", models_dir=tmp_path)


def test_a_detector_is_no_embedder(assets, tmp_path):
    pytest.importorskip("insightface.model_zoo")
    from resemblance.core.training.assets import asset

    shutil.copy(asset("scrfd", assets), tmp_path / "glintr100.onnx")
    with pytest.raises(ValueError, match="face-recognition network"):
        load_embedder("insightface", models_dir=tmp_path)


def test_wrong_choices_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"'arcface'; expected auto, insightface, built-in"):
        load_embedder("arcface")
    pytest.importorskip("insightface.model_zoo")
    with pytest.raises(FileNotFoundError, match=r"w600k_r50\.onnx.*built-in"):
        load_embedder("insightface", models_dir=tmp_path)


@pytest.mark.parametrize("state", [{"x": torch.zeros(1)}, {"out.weight": torch.zeros(4, 4)}])
def test_other_weights_are_refused(tmp_path, state):
    save_file(state, tmp_path / "x.safetensors", {"calibration": json.dumps({"built-in": [0] * TERMS})})
    with pytest.raises(ValueError, match=r"embedding network in .*x.safetensors' do not fit: .*missing. Download"):
        BuiltinEmbedder(tmp_path / "x.safetensors")


@pytest.mark.parametrize("about", [None, {"calibration": "{}"}, {"calibration": "soon"}])
def test_weights_without_a_calibration_are_refused(tmp_path, about):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", about)
    with pytest.raises(ValueError, match=r"x.safetensors' does not say what cosines of 'built-in' mean; expected"):
        BuiltinEmbedder(tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="cosines of 'insightface' mean"):
        read_calibration(tmp_path / "x.safetensors", "insightface")


def test_each_embedder_has_its_own_calibration(tmp_path):
    calibrations = {"built-in": list(range(TERMS)), "insightface": list(range(0, -TERMS, -1))}
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", {"calibration": json.dumps(calibrations)})
    for name, weights in calibrations.items():
        assert read_calibration(tmp_path / "x.safetensors", name).weights == tuple(weights)


def test_the_built_in_embedder_is_read_once(builtin, monkeypatch):
    class Other:
        name = "insightface"

    read = []
    monkeypatch.setattr(identity.BuiltinEmbedder, "__init__", lambda self, device: read.append(device))
    both = load_embedders()
    assert both.identity is both.matching and read == ["cpu"]
    monkeypatch.setattr(identity, "load_embedder", lambda *_: Other())
    both = load_embedders("insightface", "meta")
    assert both.matching.name == "insightface" and both.identity.name == "built-in" and read == ["cpu", "meta"]
