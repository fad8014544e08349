import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from resemblance.core.models.codeformer import (
    CodeFormer,
    CodeFormerConfig,
    config_from_state,
    decoder_blocks,
    encoder_blocks,
)
from resemblance.core.models.lookup import adain, look_up
from resemblance.core.records import Lookup
from safetensors.torch import load_file
from torch.nn import functional as F

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"


@pytest.fixture(scope="module")
def official_shapes():
    if not FIXTURES.is_dir():
        pytest.skip(f"CodeFormer's fixtures are not at {FIXTURES}")
    rows = [line.split("\t") for line in (FIXTURES / "codeformer_keys.txt").read_text().splitlines()]
    return {name: tuple(map(int, shape.strip("[]").split(","))) for name, shape, _ in rows}


@pytest.fixture(scope="module")
def official(official_shapes):
    """The published network with the weights that the fixtures were made with."""
    state = {}
    for name, shape in official_shapes.items():
        n = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
        if len(shape) > 1:
            n /= np.sqrt(np.prod(shape[1:]))
        else:
            n = 1 + 0.1 * n if name.endswith(".weight") else 0.05 * n
        state[name] = torch.from_numpy(n).float()
    with torch.device("meta"):
        network = CodeFormer(config_from_state(official_shapes))
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    config = CodeFormerConfig(
        image_size=128, channels=32, multipliers=(1,) * 4, blocks=1, latent=32, codes=16, width=64, heads=1, layers=1,
        fuse=(32, 64),
    )  # fmt: skip
    return CodeFormer(config).eval().requires_grad_(False)


def shapes_of(network):
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_names_and_shapes_are_the_published_ones(official_shapes):
    with torch.device("meta"):
        network = CodeFormer(CodeFormerConfig())
    assert shapes_of(network) == official_shapes
    assert sum(p.numel() for p in network.parameters()) == 94_112_707
    assert config_from_state(official_shapes) == CodeFormerConfig()


@pytest.mark.parametrize(
    "config",
    [
        CodeFormerConfig(image_size=64, channels=32, multipliers=(1, 2, 1), blocks=1, attention=(16, 32), fuse=(64,)),
        CodeFormerConfig(
            image_size=32, multipliers=(1, 3), blocks=3, attention=(), layers=2, codes=7, latent=5, fuse=()
        ),
        CodeFormerConfig(width=128, heads=2, layers=1, fuse=(16, 512)),
    ],
)
def test_sizes_are_read_off_the_tensors(config):
    with torch.device("meta"):
        shapes = shapes_of(CodeFormer(config))
    assert config_from_state(shapes) == config


def test_taps_are_the_published_ones():
    def taps(rows):
        return {row.tap: index for index, row in enumerate(rows) if row.tap}

    assert taps(encoder_blocks(CodeFormerConfig())) == {256: 5, 128: 8, 64: 11, 32: 14}
    assert taps(decoder_blocks(CodeFormerConfig())) == {32: 9, 64: 12, 128: 15, 256: 18}


@pytest.mark.slow
@torch.no_grad()
def test_equals_the_official_network(official):
    expected = load_file(FIXTURES / "codeformer_parity.safetensors")
    u = torch.from_numpy(np.random.Generator(np.random.PCG64(1)).uniform(-1, 1, (1, 3, 512, 512)))
    faces = ((F.avg_pool2d(u, 9, 1, 4) * 4).clamp(-1, 1).float() + 1) / 2

    content, skips = official.encode(faces)
    logits = official.predict(content)
    torch.testing.assert_close(content, expected["lq_feat"], atol=1e-4, rtol=0)
    torch.testing.assert_close(logits, expected["logits"], atol=1e-4, rtol=0)
    assert torch.equal(logits.argmax(-1), expected["codes"].long())
    codes, _ = look_up(logits, official.codebook(), Lookup(), side=16)
    for w, with_adain in ((0.0, 1), (0.5, 1), (1.0, 0)):
        quality = adain(codes, content) if with_adain else codes
        output = official.decode(content, quality, skips, w)[:, :, ::4, ::4] * 2 - 1  # fixtures are in [-1,1]
        torch.testing.assert_close(output, expected[f"output_w{w}_adain{with_adain}"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_faces_of_a_batch_do_not_touch_each_other(tiny):
    faces = torch.rand(3, 3, 128, 128)

    def run(x):
        content, skips = tiny.encode(x)
        return tiny.decode(content, content, skips, 0.7), tiny.predict(content)

    for together, alone in zip(run(faces), run(faces[1:2]), strict=True):
        torch.testing.assert_close(together[1:2], alone, atol=2e-5, rtol=0)


@torch.no_grad()
def test_no_faces_pass(tiny):
    content, skips = tiny.encode(torch.rand(0, 3, 128, 128))
    assert content.shape == (0, 32, 16, 16)
    assert tiny.predict(content).shape == (0, 256, 16)
    assert tiny.decode(content, content, skips, 1.0).shape == (0, 3, 128, 128)


@torch.no_grad()
def test_at_content_0_the_encoder_features_are_not_read(tiny):
    content, skips = tiny.encode(torch.rand(1, 3, 128, 128))
    assert set(skips) == {32, 64}
    alone = tiny.decode(content, content, {}, 0.0)
    near = tiny.decode(content, content, skips, 1e-6)
    far = tiny.decode(content, content, skips, 1.0)
    torch.testing.assert_close(alone, near, atol=1e-4, rtol=0)
    assert (alone - far).abs().max() > 0.01


def test_a_quality_weight_is_refused(tiny):
    content = torch.zeros(1, 32, 16, 16)
    with pytest.raises(ValueError, match=r"quality weight of 0\.5; it has 1 only"):
        tiny.decode(content, content, {}, 0.0, 0.5)


@torch.no_grad()
def test_progress_is_called_between_blocks_and_can_stop_the_work(tiny):
    calls = []
    content, skips = tiny.encode(torch.rand(1, 3, 128, 128), lambda: calls.append("encode"))
    tiny.predict(content, lambda: calls.append("predict"))
    tiny.decode(content, content, skips, 1.0, progress=lambda: calls.append("decode"))
    assert calls.count("encode") == len(encoder_blocks(tiny.config))
    assert calls.count("predict") == 1
    assert calls.count("decode") == len(decoder_blocks(tiny.config)) + 4  # two for each of the two transforms

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.encode(torch.rand(1, 3, 128, 128), stop)


@torch.no_grad()
def test_bfloat16_is_near_float32(tiny):
    half = CodeFormer(tiny.config).requires_grad_(False)
    half.load_state_dict(tiny.state_dict())
    half.to(torch.bfloat16, memory_format=torch.channels_last)
    faces = torch.rand(1, 3, 128, 128)
    outputs = []
    for network in (tiny, half):
        content, skips = network.encode(faces)
        outputs.append(network.decode(content, content, skips, 1.0))
    assert outputs[1].dtype == torch.float32
    spread = outputs[0].std()
    assert (outputs[0] - outputs[1]).abs().mean() < 0.05 * spread


def test_gradients_reach_the_latent(tiny):
    quality = torch.randn(1, 32, 16, 16, requires_grad=True)
    tiny.decode(quality, quality, {}, 0.0).square().mean().backward()
    assert quality.grad is not None and bool((quality.grad != 0).any())
