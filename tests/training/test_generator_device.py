"""The run on a lent machine, rehearsed on a CPU with small networks."""

import argparse
import json
import shutil
import signal

import numpy as np
import pytest
import torch
from resemblance.core.models.generative import GenerativeNet, GenerativeTokens
from resemblance.core.models.style_head import StyleConfig
from resemblance.core.models.styled_decoder import DecoderConfig
from resemblance.core.training import generator_device
from resemblance.core.training.device_pack import write_networks, write_photographs
from resemblance.core.training.generator_basis import make_basis
from resemblance.core.training.generator_device import Run, Trainee, learns, rate_of
from resemblance.core.training.judges import OnnxGraph
from resemblance.core.training.shards import load_shards
from stand_ins import SIZES, small_generator

STYLE = StyleConfig(latent=8, features=8, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16, axes=6)


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pack")
    generator = small_generator()
    basis = make_basis(generator, range(100, 104), 8, 16, 50)
    style = StyleConfig(**{**STYLE.__dict__, "axes": len(basis.style_scale)})
    tokens = GenerativeTokens(SIZES, style)
    with torch.no_grad():
        tokens.embedding.copy_(basis.codebook)
        tokens.style.mean.copy_(basis.style_mean)
        tokens.style.axes.copy_(basis.style_components * basis.style_scale[:, None])
    nodes = [("Conv", ["x", "w"], "y", {"strides": [56, 56], "pads": [0, 0, 0, 0]})]
    graph = OnnxGraph({"w": 0.01 * torch.randn(4, 3, 56, 56)}, nodes, "x", "y")
    alex = {"conv0.weight": 0.1 * torch.randn(4, 3, 11, 11), "conv0.bias": torch.zeros(4), "lin0.weight": torch.ones(4)}
    vgg = {"conv0.weight": torch.randn(4, 3, 3, 3), "conv0.bias": torch.zeros(4)}
    vgg |= {"conv1.weight": torch.randn(4, 4, 3, 3), "conv1.bias": torch.zeros(4), "lin0.weight": torch.ones(4)}
    write_networks(folder, generator, basis, tokens, {"alex": alex, "vgg": vgg}, graph)
    faces = np.random.default_rng(0).integers(0, 255, (3, 512, 512, 3), dtype=np.uint8)
    write_photographs(folder, faces, {1: [0], 2: [1], 4: [2]})
    return folder


def options(pack, output, **others):
    known = {"seconds": 0.0, "batch": 4, "lr": 1e-3, "seed": 0, "adversary": 0.5, "style_faces": 8, "least": 0.0}
    known |= {"pack": pack, "output": output, "compile": False, "device": "cpu"}
    return argparse.Namespace(**(known | others))


@pytest.fixture
def stopping(monkeypatch):
    """Signals that the run asks for, in place of the program's."""
    asked = {}
    monkeypatch.setattr(signal, "signal", lambda number, handler: asked.update({number: handler}))
    return asked


def test_a_run_writes_what_a_later_one_goes_on_from(pack, tmp_path, stopping, monkeypatch):
    monkeypatch.setattr(generator_device, "CHECK", 1)
    (tmp_path / "a").mkdir()
    run = Run(options(pack, tmp_path / "a"))
    run.train()
    assert 3 <= run.trainee.step <= 4  # to warm up: there was no time for more
    assert run.adversary.step  # in which the adversary had its say, too
    saved = load_shards(tmp_path / "a", "net")
    assert saved and load_shards(tmp_path / "a", "critics") and (tmp_path / "a" / "last.jpg").is_file()
    average = run.trainee.average.state_dict()
    assert all(torch.allclose(saved[name], average[name], atol=1e-3, rtol=1e-3) for name in average)

    (tmp_path / "b").mkdir()
    monkeypatch.setattr(generator_device, "fit_style", lambda *_: pytest.fail("the style was fitted before"))
    resumed = tmp_path / "pack"
    shutil.copytree(pack, resumed)
    (resumed / "tokens.safetensors").unlink()
    for path in (tmp_path / "a").glob("*.safetensors"):
        shutil.copy(path, resumed)
    later = Run(options(resumed, tmp_path / "b", seconds=600.0))
    critics = later.adversary.critics.state_dict()
    assert all(torch.equal(critics[name], tensor) for name, tensor in load_shards(tmp_path / "a", "critics").items())
    state = later.trainee.net.state_dict()
    assert all(torch.equal(state[name], saved[name]) for name in saved)
    stop = stopping[signal.SIGTERM]
    reported = later.report
    monkeypatch.setattr(later, "report", lambda *args: (reported(*args), stop(signal.SIGTERM, None)))
    later.train()  # ends after the step in which it is told to
    rows = [json.loads(line) for line in (tmp_path / "b" / "curve.jsonl").read_text().splitlines()]
    assert len(rows) == 1 and rows[0]["step"] == 1 and np.isfinite(rows[0]["value"])
    assert load_shards(tmp_path / "b", "net").keys() == saved.keys()


def test_a_slow_or_broken_run_ends(pack, tmp_path, stopping, monkeypatch):
    monkeypatch.setattr(generator_device, "CHECK", 1)
    monkeypatch.setattr(generator_device, "TRIAL", 0.0)
    run = Run(options(pack, tmp_path, seconds=600.0, least=1e6))
    with pytest.raises(RuntimeError, match="faces a second; expected 1000000 at least"):
        run.train()
    with pytest.raises(FloatingPointError, match="not finite at step 7"):
        run.report(7, 0.5, 10.0, {"value": float("nan")})


def test_what_is_compiled_has_to_be_faster(pack, tmp_path, stopping, monkeypatch):
    run = Run(options(pack, tmp_path))
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: compiled.append(self))
    monkeypatch.setattr(run, "step", lambda *_: {})
    for times, kept in (((2.0, 1.0), True), ((1.0, 2.0), False)):
        compiled.clear()
        taken = iter(times)
        monkeypatch.setattr(run, "timed", lambda taken=taken: next(taken))
        for layer in run.drawing:
            layer._compiled_call_impl = "compiled"
        run.prove()
        assert compiled == list(run.drawing)
        assert all((layer._compiled_call_impl == "compiled") == kept for layer in run.drawing)


def test_each_part_learns_at_its_rate():
    assert rate_of("encoder.stem.weight") == 0.5 and rate_of("decoder.transforms.0.mix.weight") == 1.0
    assert rate_of("style.direct.weight") == 0.02 and rate_of("style.out.weight") == 0.5
    assert rate_of("decoder.layers.0.conv1.conv.weight") == 0.1
    assert not learns("embedding") and not learns("decoder.layers.0.conv1.depthwise.weight")
    assert learns("decoder.layers.0.conv1.conv.weight")


def test_a_gradient_that_is_not_finite_is_left_out():
    torch.manual_seed(0)
    style = StyleConfig(**{**STYLE.__dict__, "style": 12})
    net = GenerativeNet(SIZES, style, DecoderConfig(8, 32, 12, (8, 8), (8, 8, 8), (4, 4, 4)))
    trainee = Trainee(net, 1e-2)
    before = {name: p.clone() for name, p in net.named_parameters()}
    trainee.learn(net.decoder.stem.weight.sum() * float("nan"), 0.0)
    assert all(torch.equal(before[name], p) for name, p in net.named_parameters())
    trainee.learn(net.decoder.stem.weight.square().sum(), 0.0)
    assert not torch.equal(before["decoder.stem.weight"], net.decoder.stem.weight)
    moved = trainee.average.decoder.stem.weight
    assert not torch.equal(moved, before["decoder.stem.weight"]) and not torch.equal(moved, net.decoder.stem.weight)
