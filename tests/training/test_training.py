"""The parts of training that can be wrong without anyone seeing it."""

import argparse
import importlib.util
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training import judges, loop, restoration
from resemblance.core.training.assets import asset
from resemblance.core.training.codes import code_losses
from resemblance.core.training.degradation import SEVERITIES, blur_kernel, degrade
from resemblance.core.training.tokenizer import Tokenizer


def face(seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return small.repeat(32, 0).repeat(32, 1)


def test_degradation_is_repeatable_and_grows_with_severity():
    clean = face()
    first, again = (degrade(clean, "moderate", np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, degrade(clean, "moderate", np.random.default_rng(4)))
    errors = {
        name: np.mean(
            [np.abs(degrade(clean, name, np.random.default_rng(s)) - clean.astype(float)).mean() for s in range(8)]
        )
        for name in SEVERITIES
    }
    assert errors["light"] < errors["moderate"] < errors["severe"]
    assert first.shape == clean.shape and first.dtype == np.uint8


def test_blur_kernel_has_the_sigma_it_was_asked_for():
    kernel = blur_kernel(np.random.default_rng(0), (3, 3)).astype(float)
    x = np.arange(41) - 20
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert np.sqrt((kernel.sum(0) * x**2).sum()) == pytest.approx(3, rel=0.01)


@pytest.mark.parametrize(("name", "scaled"), [("arcface", True), ("sface", False)])
def test_rebuilt_recognition_networks_equal_onnxruntime(assets, name, scaled):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(asset(name, assets)), options, providers=["CPUExecutionProvider"])
    x = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 255
    x = (x - 127.5) / 127.5 if scaled else x
    expected = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    assert np.allclose(judges.OnnxNetwork(asset(name, assets))(x).numpy(), expected, atol=1e-4)


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


def test_gate_target_is_the_nearest_mix():
    h, words = torch.zeros(1, 2, 1, 3), torch.ones(1, 2, 1, 3) * 2
    clean = torch.tensor([0.5, -1.0, 5.0]).expand(1, 2, 1, 3)
    assert torch.allclose(
        restoration.gate_target(h, words, clean), torch.tensor([0.25, 0.0, 1.0]).expand(1, 1, 1, 3), atol=1e-5
    )


def test_kmeans_finds_clusters_and_following_keeps_them():
    torch.manual_seed(0)
    tokenizer = Tokenizer()
    codes, latent = tokenizer.net.embedding.shape
    centres = torch.randn(codes, latent) * 10
    flat = centres.repeat(4, 1) + 0.01 * torch.randn(4 * codes, latent)
    tokenizer.kmeans(flat)
    distance = torch.cdist(centres, tokenizer.net.embedding).amin(1)
    assert (distance < 0.1).float().mean() > 0.55  # random starts leave some clusters shared: 1 - 1/e of them are hit
    words, numbers = tokenizer.nearest(flat[: 8 * 64].T.reshape(1, latent, 8, 64))
    assert words.shape == (1, latent, 8, 64)
    tokenizer.follow(words, numbers)
    assert torch.isfinite(tokenizer.net.embedding).all()


def test_perfect_logits_have_no_code_loss():
    torch.manual_seed(0)
    net = Tokenizer().net
    codes = torch.randint(0, 1024, (1, 16))
    clean = net.embedding[codes].mT.reshape(1, -1, 4, 4)
    logits = torch.nn.functional.one_hot(codes, 1024) * 100.0
    value, soft, _ = code_losses(net, clean, logits, clean, codes)
    assert value.item() == pytest.approx(0, abs=1e-5)
    assert torch.allclose(soft, clean, atol=1e-4)


def test_a_stage_resumes_where_it_stopped(tmp_path):
    options = loop.arguments("", 1, 0.01).parse_args(["--work", str(tmp_path), "--device", "cpu", "--minutes", "0.01"])
    torch.manual_seed(0)
    stage = loop.Stage("toy", torch.nn.Linear(2, 1), options)
    batches = iter(lambda: torch.randn(4, 2), None)
    stage.run(batches, lambda batch, part: (stage.module(batch).square().mean(), {}))
    assert stage.step > 0
    fresh = loop.Stage("toy", torch.nn.Linear(2, 1), options)
    assert (fresh.step, fresh.seconds) == (stage.step, stage.seconds)
    assert torch.equal(fresh.module.weight, stage.module.weight)
    assert torch.equal(fresh.average.weight, stage.average.weight)


def test_a_faster_part_learns_with_a_multiple_of_the_rate(tmp_path):
    """Adam's first step moves each weight by the rate, whatever its gradient."""
    module = torch.nn.ModuleDict({name: torch.nn.Linear(1, 1, bias=False) for name in ("slow", "fast")})
    before = {name: part.weight.item() for name, part in module.items()}
    options = loop.arguments("", 0.0, 1e-3).parse_args(
        ["--work", str(tmp_path), "--device", "cpu", "--minutes", "1e-9"]
    )
    stage = loop.Stage("two", module, options, {"fast": 5.0})
    ones = torch.ones(1, 1)
    stage.run(iter([ones]), lambda batch, part: (sum(3 * m(batch).sum() for m in module.values()), {}))
    moved = {name: abs(part.weight.item() - before[name]) for name, part in module.items()}
    assert stage.step == 1 and moved["slow"] > 0
    assert moved["fast"] == pytest.approx(5 * moved["slow"], rel=0.05)


def test_batches_that_are_being_made_are_finished_before_the_program_ends(tmp_path):
    code = """
import time
from pathlib import Path
from resemblance.core.training.data import prefetch
def make(rng, i):
    Path(f"begun{i}").touch(); time.sleep(0.1); Path(f"ended{i}").touch()
    return i
batches = prefetch(make, 0, 5, depth=2)
print(next(batches), next(batches))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "5 6\n", "")
    begun, ended = (len(list(tmp_path.glob(f"{name}*"))) for name in ("begun", "ended"))
    assert 2 < begun == ended < 8  # ahead of use, not without end


def test_an_interrupted_stage_keeps_what_it_has(tmp_path, caplog):
    options = loop.arguments("", 1, 0.01).parse_args(["--work", str(tmp_path), "--device", "cpu"])
    stage = loop.Stage("toy", torch.nn.Linear(2, 1), options)

    def batches():
        for _ in range(3):
            yield torch.randn(4, 2)
        raise KeyboardInterrupt

    with caplog.at_level("INFO"), pytest.raises(SystemExit) as caught:
        stage.run(batches(), lambda batch, part: (stage.module(batch).square().mean(), {}))
    assert caught.value.code == 130 and "toy.pt" in caplog.text
    assert loop.Stage("toy", torch.nn.Linear(2, 1), options).step == 3


def test_a_terminated_program_keeps_what_it_has(tmp_path):
    options = loop.arguments("", 1, 0.01).parse_args(["--work", str(tmp_path), "--device", "cpu"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        loop.start(options)
        stage = loop.Stage("toy", torch.nn.Linear(2, 1), options)

        def batches():
            for i in range(10):
                if i == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield torch.randn(4, 2)

        with pytest.raises(SystemExit):
            stage.run(batches(), lambda batch, part: (stage.module(batch).square().mean(), {}))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert loop.Stage("toy", torch.nn.Linear(2, 1), options).step == 3


def test_the_log_tells_how_many_images_are_seen_in_a_second(tmp_path, caplog, monkeypatch):
    options = loop.arguments("", 1, 0.01).parse_args(["--work", str(tmp_path), "--device", "cpu"])
    now = iter(range(0, 1000, 16))  # every look at the clock is 16 seconds later: 32 for two steps
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(now))
    stage = loop.Stage("toy", torch.nn.Linear(2, 1), options)
    with caplog.at_level("INFO"):
        stage.run(iter(lambda: torch.randn(6, 2), None), lambda batch, part: (stage.module(batch).mean(), {}))
    said = [line for line in caplog.messages if "images/s" in line]
    steps, images = re.search(r"([\d.]+) steps/s, ([\d.]+) images/s", said[-1]).groups()
    assert float(images) == pytest.approx(6 * float(steps), abs=0.1) and float(steps) == pytest.approx(1 / 16, abs=0.01)


def test_what_is_compiled_keeps_its_names(tmp_path):
    options = loop.arguments("", 1, 0.01).parse_args(["--work", str(tmp_path), "--device", "cpu", "--compile"])
    tokenizer = Tokenizer()
    names = list(tokenizer.state_dict())
    stage = loop.Stage("tokenizer", tokenizer, options)
    compiled = {name for name, module in tokenizer.named_modules() if module._compiled_call_impl}
    assert compiled == {"net.encoder", "net.transformer", "net.gate", "net.decoder"}
    assert not any(module._compiled_call_impl for module in stage.average.modules())
    stage.save()
    saved = torch.load(stage.path, weights_only=True)
    assert list(saved["module"]) == list(saved["average"]) == names
    assert set(saved) == {"module", "average", "optimizer", "step", "seconds"}


def test_a_broken_gradient_stops_the_stage(tmp_path):
    options: argparse.Namespace = loop.arguments("", 1, 0.01).parse_args(["--work", str(tmp_path), "--device", "cpu"])
    stage = loop.Stage("toy", torch.nn.Linear(2, 1), options)
    batches = iter(lambda: torch.full((4, 2), float("nan")), None)
    with pytest.raises(FloatingPointError, match="toy"):
        stage.run(batches, lambda batch, part: (stage.module(batch).mean(), {}))
    assert torch.isfinite(stage.module.weight).all()


def test_export_keeps_names_and_says_what_it_was_trained_on(tmp_path):
    from safetensors import safe_open

    net = Tokenizer().net
    restoration.export(net, tmp_path / "net.safetensors", "0123456789abcdef")
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert set(file.keys()) == set(net.state_dict())
        assert file.get_tensor("embedding").dtype == torch.float16
        assert file.metadata()["tokenizer"] == "0123456789abcdef"


def test_what_comes_again_in_every_cell_is_found_and_what_does_not_is_not():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=generator), (128, 128), mode="bilinear")
    grid = smooth + 0.05 * torch.randn(1, 3, 16, 16, generator=generator).tile(8, 8)
    grain = smooth + 0.05 * torch.randn(1, 3, 128, 128, generator=generator)
    assert restoration.repeated(grid).shape == (1, 2, 2)
    assert restoration.lattice_loss(grid, smooth) > 3 * restoration.lattice_loss(grain, smooth)
    assert restoration.lattice_loss(grid, grid) == 0 == restoration.lattice_loss(smooth, grid)
