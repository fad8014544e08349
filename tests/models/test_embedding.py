import math
from dataclasses import replace

import pytest
import torch
from resemblance.core.geometry import TEMPLATE
from resemblance.core.models.embedding import RECOGNITION_TEMPLATE, EmbeddingConfig, EmbeddingNet, RecognitionCrop

TINY = EmbeddingConfig(4, (8, 8, 8, 12, 12, 16, 16, 16, 16, 16, 16, 24, 24), dim=12)
FACES = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    net = EmbeddingNet(TINY).eval()
    for parameter in net.parameters():  # as they begin, biases drown what a face shows
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)
        elif parameter.min() < 0:
            torch.nn.init.zeros_(parameter)
    return net


@pytest.mark.parametrize("size", [160, 256, 512])
def test_crops_are_where_recognition_expects_the_points(size):
    """A dot on each point of the template lands on the point of the 112 px alignment, within what the fit leaves."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for (px, py), expected in zip(TEMPLATE, RECOGNITION_TEMPLATE, strict=True):
        # The middle of pixel p of 512 is at (p + 0.5) / 512 of the width.
        at = [(v + 0.5) * size / 512 - 0.5 for v in (px, py)]
        dot = torch.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * (size / 64) ** 2))
        crop = RecognitionCrop()(dot.expand(1, 3, -1, -1))[0, 0]
        line = torch.arange(112.0)
        found = (crop.sum(0) @ line / crop.sum(), crop.sum(1) @ line / crop.sum())
        assert math.dist(map(float, found), expected) < 3


@pytest.mark.parametrize("shape", [(1, 3, 300, 300), (1, 3, 256, 512), (1, 3, 0, 0)])
def test_other_sizes_are_named(tiny, shape):
    with pytest.raises(ValueError, match=rf"{shape[3]}x{shape[2]} px; expected squares .* multiple of 256"):
        tiny(torch.zeros(shape))


def test_embeddings_have_length_one_and_depend_on_their_face_alone(tiny):
    embeddings = tiny(FACES)
    assert embeddings.shape == (2, 12)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(tiny(FACES[1:]), embeddings[1:])
    assert torch.equal(tiny(FACES), embeddings)


def test_gradients_reach_the_face_and_point_to_its_identity(tiny):
    face, wanted = FACES[:1].clone().requires_grad_(), tiny(FACES[1:]).detach()
    before = (tiny(face) * wanted).sum()
    (gradient,) = torch.autograd.grad(before, face)
    assert torch.isfinite(gradient).all()
    after = (tiny(face + 1e-3 * gradient / gradient.abs().max()) * wanted).sum()
    assert after > before


def test_bfloat16_is_near_float32(tiny):
    half = EmbeddingNet(TINY).eval()
    half.load_state_dict(tiny.state_dict())
    embeddings = half.bfloat16()(FACES)
    assert embeddings.dtype == torch.float32
    assert ((embeddings * tiny(FACES)).sum(1) > 0.999).all()


def test_sizes_are_read_off_the_tensors():
    for config in (TINY, replace(TINY, dim=7), replace(TINY, squeezed=5), EmbeddingConfig()):
        assert EmbeddingConfig.from_state(EmbeddingNet(config).state_dict()) == config


def test_a_face_is_cropped_and_then_embedded(tiny):
    assert torch.equal(tiny(FACES), tiny.embed(RecognitionCrop()(FACES)))
    assert tiny.embed(torch.rand(3, 3, 112, 112)).shape == (3, 12)
