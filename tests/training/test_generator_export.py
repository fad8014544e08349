"""The second restorer as it ships."""

from dataclasses import replace

import pytest
import torch
from resemblance.core.models.generative import GenerativeNet
from resemblance.core.models.style_head import StyleConfig, StyleHead
from resemblance.core.models.styled_decoder import DecoderConfig
from resemblance.core.training import generator_export
from resemblance.core.training.generator_export import read_shards, seen_in, thinned
from resemblance.core.training.shards import save_shards
from safetensors.torch import load_file
from stand_ins import SIZES

STYLE = StyleConfig(latent=8, features=8, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16, axes=6, style=12)
DRAWING = DecoderConfig(8, 32, 12, (8, 8, 8, 8, 8), (8, 8, 8), (4, 4, 4))


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = GenerativeNet(SIZES, STYLE, DRAWING).eval().requires_grad_(False)
    for part in (net.style.direct, net.style.out):
        torch.nn.init.normal_(part.weight, std=0.1)
    net.style.axes.normal_()
    return net


def test_what_is_left_out_is_what_is_never_said(net):
    directions = torch.randn(3, 8 * 8 * 16)
    rows = torch.randn(40, 3) @ directions + 5
    head: StyleHead = net.style
    thin = thinned(head, rows, 3)
    assert thin.config == replace(head.config, rank=3)
    torch.testing.assert_close(thin.direct(rows), head.direct(rows), rtol=1e-3, atol=1e-3)
    one = thinned(head, rows, 1)
    said, wanted = one.direct(rows), head.direct(rows)
    torch.testing.assert_close(said.mean(0), wanted.mean(0), rtol=1e-2, atol=1e-2)
    assert 0 < float((said - wanted).square().sum()) < float((wanted - wanted.mean(0)).square().sum())


def test_shards_become_one_file_that_draws_the_same(net, tmp_path, monkeypatch):
    save_shards(tmp_path / "shards", "net", net.state_dict(), {}, limit=2000)
    faces = torch.rand(8, 3, 512, 512, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(generator_export, "some_faces", lambda *_: faces)
    read = read_shards(tmp_path / "shards")
    assert seen_in(read, faces[:2]).shape == (2, 8 * 8 * 16)
    path = tmp_path / "restorer.safetensors"
    monkeypatch.setattr("sys.argv", ["x", "--shards", str(tmp_path / "shards"), "--work", ".", "--output", str(path)])
    generator_export.main()
    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    written = GenerativeNet.from_state(state)
    written.load_state_dict(state)
    assert written.style.config.rank == 6  # of six axes: nothing is lost
    h, _, words, _, skips = net.told(faces[:1])
    expected = net.decode(h, words, skips)
    h, _, words, _, skips = written.eval().told(faces[:1])
    torch.testing.assert_close(written.decode(h, words, skips), expected, rtol=0.02, atol=0.02)
