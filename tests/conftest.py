import os
from collections.abc import Iterator
from pathlib import Path

import host_server
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # each has a core; threads of PyTorch would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # before those that are not asked for are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who uses a server or a browser starts one."""
    for item in items:
        if {"server", "newest_server", "address"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("host")


@pytest.fixture(scope="session")
def assets() -> Path:
    root = os.environ.get("RESEMBLANCE_ASSETS")
    if not root:
        pytest.skip("RESEMBLANCE_ASSETS names no folder of asset packages (core/training/assets.txt)")
    return Path(root)


@pytest.fixture
def patterns(monkeypatch) -> None:
    """Photographs are of :mod:`people`: measured by their texture, and not looked through for folds."""
    import people

    monkeypatch.setattr("resemblance.core.faces.measure.severity_of", people.plain_damage)
    monkeypatch.setattr("resemblance.core.pipeline.mend_scratches", lambda crops: (crops, 0 * crops.masks))


@pytest.fixture(scope="session")
def tiny_codeformer():
    """A CodeFormer of the real structure and size of picture, but thin and shallow, with random weights."""
    import torch
    from resemblance.core.models.codeformer import CodeFormer, CodeFormerConfig

    torch.manual_seed(0)
    config = CodeFormerConfig(
        channels=32, multipliers=(1,) * 6, blocks=1, latent=32, codes=16, width=64, heads=1, layers=1, fuse=(32, 64)
    )
    return CodeFormer(config).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def comfyui(tmp_path_factory) -> Path:
    """A checkout of ComfyUI."""
    return host_server.find_comfyui(tmp_path_factory.mktemp("host") / "ComfyUI")


@pytest.fixture(scope="session")
def models(tmp_path_factory, tiny_codeformer) -> Path:
    """A folder of models as a user may have it: small files of the real kinds, and one that is no restorer."""
    import torch

    base = tmp_path_factory.mktemp("base")
    folder = base / "models" / "facerestore_models"
    elsewhere = base / "elsewhere"
    for path in (folder, elsewhere):
        path.mkdir(parents=True)
    for path in (folder / "codeformer.pth", elsewhere / "elsewhere.pth"):
        torch.save({"params_ema": tiny_codeformer.state_dict()}, path)
    torch.save({"body.conv1.weight": torch.zeros(1)}, folder / "detection_Resnet50_Final.pth")
    _save_whole_face_onnx(folder / "whole.onnx")
    return base / "models"


@pytest.fixture(scope="session")
def server(comfyui, models) -> Iterator[host_server.Server]:
    """A running ComfyUI with this pack."""
    paths = models.parent / "paths.yaml"
    paths.write_text(f"others:\n  base_path: {models.parent}\n  facerestore_models: elsewhere\n")
    running = host_server.Server(comfyui, models.parent, "--extra-model-paths-config", str(paths))
    yield running
    running.stop()


def _save_whole_face_onnx(path: Path) -> None:
    """An ONNX restorer that gives back the face it is given, with ballast: small files are not taken for restorers."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    face = [helper.make_tensor_value_info(n, 1, [1, 3, 512, 512]) for n in ("input", "output")]
    ballast = helper.make_tensor("ballast", 1, [6 << 20], bytes(24 << 20), raw=True)
    nodes = [helper.make_node("Identity", ["input"], ["output"])]
    graph = helper.make_graph(nodes, "net", face[:1], face[1:], [ballast])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> Path:
    """A folder for each person."""
    folder = tmp_path_factory.mktemp("family")
    for person, names in {"man": ("truth",), "woman": ("reference_1", "truth")}.items():
        (folder / person).mkdir()
        for name in names:
            example = host_server.ROOT / "nodes" / "examples" / f"{person}_{name}.jpg"
            (folder / person / f"{name}.jpg").write_bytes(example.read_bytes())
    return folder


@pytest.fixture(scope="module")
def detect():
    """The built-in detector."""
    from functools import partial

    from resemblance.core.faces.detect import detect_faces, load_detector

    return partial(detect_faces, backend=load_detector("built-in"))
