import importlib.util

import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

import numpy as np
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.training import restoration
from resemblance.core.training.restoration import grown, shifted
from resemblance.core.training.tokenizer import Tokenizer


def test_gate_target_is_the_nearest_mix():
    h, words = torch.zeros(1, 2, 1, 3), torch.ones(1, 2, 1, 3) * 2
    clean = torch.tensor([0.5, -1.0, 5.0]).expand(1, 2, 1, 3)
    assert torch.allclose(
        restoration.gate_target(h, words, clean), torch.tensor([0.25, 0.0, 1.0]).expand(1, 1, 1, 3), atol=1e-5
    )


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


def test_a_deeper_network_starts_as_the_shallow_one():
    shallow = ResemblanceNet(RestorerConfig(encoder_blocks=1, decoder_blocks=(1, 1, 1))).eval()
    deep = grown(shallow.state_dict()).eval()
    face = torch.rand(1, 3, 512, 512)
    for net in (shallow, deep):
        content, skips = net.encode(face)
        net.seen = content, net.decode(content, content, skips)
    assert torch.equal(shallow.seen[0], deep.seen[0])
    torch.testing.assert_close(shallow.seen[1], deep.seen[1])
    state = shallow.state_dict()
    del state["gate.0.weight"]
    with pytest.raises(ValueError, match=r"gate\.0\.weight"):
        grown(state)


def test_shifting_cuts_all_pictures_alike():
    x = torch.arange(16.0 * 16).view(1, 1, 16, 16)
    for seed in range(10):
        a, b = shifted(np.random.default_rng(seed), x, x + 1)
        assert torch.equal(a + 1, b) and a.shape == (1, 1, 9, 9)
