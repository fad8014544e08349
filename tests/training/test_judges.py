import importlib.util

import numpy as np
import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training import judges
from resemblance.core.training.assets import asset


@pytest.mark.parametrize(("name", "scaled"), [("arcface", True), ("sface", False)])
def test_rebuilt_recognition_networks_equal_onnxruntime(assets, name, scaled):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(asset(name, assets)), options, providers=["CPUExecutionProvider"])
    x = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 255
    x = (x - 127.5) / 127.5 if scaled else x
    expected = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    assert np.allclose(judges.OnnxNetwork(judges.read_graph(asset(name, assets)))(x).numpy(), expected, atol=1e-4)


def test_recognizer_has_gradients_and_unit_length(assets):
    recognizer = judges.Recognizer("arcface", assets)
    x = torch.rand(1, 3, 512, 512, requires_grad=True)
    embedding = recognizer(x)
    assert embedding.norm().item() == pytest.approx(1, abs=1e-5)
    embedding[0, 0].backward()
    inside = x.grad[0].abs().sum(0)
    assert inside[200:400, 200:300].sum() > 0
    assert inside[:40, :40].sum() == 0  # recognition looks at the middle of the template only


def test_lpips_is_zero_for_equals_and_grows_with_blur(assets):
    metric = judges.lpips("alex", assets)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    slightly, strongly = (torch.nn.functional.avg_pool2d(x, k, 1, k // 2)[..., :64, :64] for k in (3, 7))
    assert metric(x, x).item() == 0
    assert 0 < metric(x, slightly).item() < metric(x, strongly).item()


def test_pickles_of_anything_but_numbers_are_refused(tmp_path):
    import pickle

    path = tmp_path / "evil.ckpt"
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(pickle.UnpicklingError, match=r"os\.system"), open(path, "rb") as file:
        judges._NumpyOnly(file).load()
    assert not (tmp_path / "ran").exists()
