"""The generator rebuilt in torch, against OpenVINO and against itself."""

import numpy as np
import pytest
import torch
from resemblance.core.training import faces
from resemblance.core.training.generator import Generator, GeneratorConfig, load_generator
from torch.nn import functional as F

TINY = GeneratorConfig(latent=8, mapping=2, channels=(8, 16, 4))


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    generator = Generator(TINY, size=32).requires_grad_(False)
    for tensor in generator.synthesis.state_dict().values():
        tensor.normal_(std=0.5)
    return generator


@torch.no_grad()
def test_equals_openvino(assets, monkeypatch):
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})  # by itself it takes bfloat16 where that is faster
    monkeypatch.setattr(openvino, "Core", lambda: core)
    expected, generator = faces.FaceGenerator(assets, 1024), load_generator(assets, 1024)
    numbers = range(faces.STYLES)
    people = np.concatenate([expected.person(i) for i in numbers])
    w = generator.people(numbers)
    assert np.abs(generator.mean.numpy() - expected.mean).max() < 1e-4
    assert np.abs(w.numpy() - people).max() < 1e-4
    for styles in (people[:1].repeat(faces.STYLES, 0), people):  # one for all, and one for each
        picture = expected._synthesis(styles)[0]
        result = generator(torch.from_numpy(styles)[None])
        assert np.abs(result.numpy() - picture).max() < 1e-3
        generator.synthesis.shrink = 2
        pooled = F.avg_pool2d(torch.from_numpy(picture), 2)
        assert (generator(torch.from_numpy(styles)[None]) - pooled).abs().max() < 1e-3
        generator.synthesis.shrink = 1
    levels = (picture[0].transpose(1, 2, 0) * 127.5 + 127.5).round().clip(0, 255)
    assert np.abs(expected.synthesize(people) - levels).max() <= 1


@torch.no_grad()
def test_faces_of_a_batch_do_not_touch_each_other(tiny):
    styles = torch.randn(3, 8, 8)
    assert torch.allclose(tiny(styles), torch.cat([tiny(s[None]) for s in styles]), rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_each_modulation_reads_its_own_style(tiny):
    styles = torch.randn(1, 8, 8)
    before = tiny(styles)
    assert before.shape == (1, 3, 32, 32)
    for i in range(8):
        changed = styles.clone()
        changed[:, i] += 1
        assert (tiny(changed) - before).abs().max() > 0.01 * before.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("size", [16, 4])
def test_smaller_faces_are_means(tiny, size):
    small = Generator(TINY, size)
    small.load_state_dict(tiny.state_dict())
    styles = torch.randn(2, 8, 8)
    assert torch.allclose(small(styles), F.avg_pool2d(tiny(styles), 32 // size), rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_a_face_may_be_drawn_from_its_features(tiny):
    """Half the picture's size, where nothing is left to be averaged."""
    small = Generator(TINY, size=16)
    small.load_state_dict(tiny.state_dict())
    styles = torch.randn(2, 8, 8)
    features = small.synthesis.features(styles, 8)
    assert features.shape == (2, 16, 8, 8)
    assert torch.allclose(small.synthesis.finish(features, styles), small(styles), rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_bfloat16_draws_the_same_face(tiny):
    styles = torch.randn(2, 8, 8)
    exact = tiny(styles)
    tiny.synthesis.to(torch.bfloat16)
    result = tiny(styles)
    assert result.dtype == torch.float32
    assert 0 < (result - exact).abs().max() < 0.05 * exact.abs().max()
