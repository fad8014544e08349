import argparse
import importlib.util
import os
import re
import signal

import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training import loop
from resemblance.core.training.tokenizer import Tokenizer


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
