"""What travels to a lent machine."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from resemblance.core.models.generative import GenerativeTokens
from resemblance.core.models.style_head import StyleConfig
from resemblance.core.training import device_pack
from resemblance.core.training.device_pack import (
    into_parts,
    read_networks,
    read_photographs,
    write_networks,
    write_photographs,
)
from resemblance.core.training.judges import OnnxGraph, OnnxNetwork
from stand_ins import SIZES, small_basis, small_generator

STYLE = StyleConfig(latent=8, features=8, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16, axes=6, style=512)
PAD = {"strides": [8, 8], "pads": [0, 0, 0, 0]}


@pytest.fixture
def written(tmp_path):
    torch.manual_seed(0)
    generator, basis, tokens = small_generator(), small_basis(), GenerativeTokens(SIZES, STYLE)
    graph = OnnxGraph({"w": torch.randn(4, 3, 8, 8)}, [("Conv", ["x", "w"], "y", PAD)], "x", "y")
    conv = {"conv0.weight": torch.randn(4, 3, 3, 3), "conv0.bias": torch.zeros(4)}
    write_networks(
        tmp_path,
        generator,
        basis,
        tokens,
        {"alex": conv | {"lin0.weight": torch.ones(4)}, "vgg": conv},
        graph,
    )
    return generator, basis, tokens, graph, tmp_path


def test_networks_come_back_as_they_were(written):
    generator, basis, tokens, graph, folder = written
    networks = read_networks(folder, "cpu")
    numbers = [3, 4]
    assert torch.allclose(networks.generator.people(numbers), generator.people(numbers), atol=1e-2)
    assert networks.basis.fingerprint == basis.fingerprint
    for name, tensor in tokens.state_dict().items():
        if not name.startswith("style.direct"):
            assert torch.allclose(networks.tokens.state_dict()[name], tensor, atol=2e-3, rtol=1e-3), name
    assert networks.tokens.config == tokens.config and networks.tokens.style.config == tokens.style.config
    x = torch.rand(1, 3, 112, 112)
    assert torch.allclose(networks.recognizer.network(x), OnnxNetwork(graph)(x), atol=5e-2)
    assert networks.alex.lin0_weight.tolist() == [1, 1, 1, 1]


def test_photographs_come_back_at_the_size_at_which_they_are_truth(tmp_path):
    faces = np.zeros((4, 512, 512, 3), np.uint8)
    for i in range(4):
        faces[i] = 60 * i
        faces[i, :256, :256] = 30
    write_photographs(tmp_path, faces, {1: [0, 2], 2: [3], 4: []})
    with pytest.raises(RuntimeError):
        read_photographs(tmp_path)  # none of one kind: training would have nothing to draw from
    write_photographs(tmp_path, faces, {1: [0, 2], 2: [3], 4: [1]})
    found = read_photographs(tmp_path)
    assert {part: x.shape for part, x in found.items()} == {
        1: (2, 3, 512, 512),
        2: (1, 3, 256, 256),
        4: (1, 3, 256, 256),
    }
    assert abs(int(found[1][1, 0, 400, 400]) - 120) < 4 and abs(int(found[2][0, 0, 20, 20]) - 30) < 4


def test_every_part_may_travel(tmp_path):
    for name, size in (("a", 50), ("b", 60), ("c", 30), ("d", 40)):
        (tmp_path / name).write_bytes(bytes(size))
    assert into_parts(tmp_path, 100) == 2
    parts = [{path.name for path in (tmp_path / f"part{i}").iterdir()} for i in (1, 2)]
    assert set().union(*parts) == set("abcd") and not (parts[0] & parts[1])
    assert all(sum(path.stat().st_size for path in (tmp_path / f"part{i}").iterdir()) <= 100 for i in (1, 2))
    (tmp_path / "e").write_bytes(bytes(101))
    with pytest.raises(ValueError, match="holds 101 bytes; expected 100 at most"):
        into_parts(tmp_path, 100)


def test_reading_needs_none_of_the_packages_that_a_lent_machine_lacks():
    missing = ("kornia", "insightface", "lpips", "openvino", "onnx", "onnxruntime", "facexlib", "spandrel", "gradio")
    package = device_pack.__name__.removesuffix("device_pack")
    code = f"import sys; sys.modules |= dict.fromkeys({missing}); import {package}generator_device"
    subprocess.run([sys.executable, "-c", code], check=True)
