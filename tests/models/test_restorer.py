"""The shipped network: its weights by cause, its equations by hand."""

from dataclasses import replace

import pytest
import torch
from resemblance.core.models.restorer import ControllableFeatureTransformation, ResemblanceNet, RestorerConfig

TINY = RestorerConfig(widths=(8, 8, 16), latent=8, codes=16, dim=32, layers=1, heads=1, size=64)


@pytest.fixture
def net() -> ResemblanceNet:
    torch.manual_seed(0)
    net = ResemblanceNet(TINY).eval()
    for parameter in net.parameters():  # zero-initialised branches would hide mistakes
        parameter.data += 0.05 * torch.randn_like(parameter)
    return net


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def words(net: ResemblanceNet, logits: torch.Tensor) -> torch.Tensor:
    return net.codebook()[logits.argmax(-1)].mT.reshape(len(logits), -1, 4, 4)


def test_shapes_and_config_from_state(net, faces):
    content, skips = net.encode(faces)
    assert content.shape == (2, 8, 4, 4)
    assert {side: tuple(s.shape[1:]) for side, s in skips.items()} == {
        64: (3, 64, 64),
        16: (8, 16, 16),
        8: (8, 8, 8),
        4: (16, 4, 4),
    }
    logits = net.predict(content)
    assert logits.shape == (2, 16, 16)
    assert net.decode(content, words(net, logits), skips).shape == faces.shape
    assert RestorerConfig.from_state(net.state_dict()) == TINY
    assert RestorerConfig.from_state(ResemblanceNet().state_dict()) == RestorerConfig()


def test_quality_zero_with_full_content_is_the_input(net, faces):
    content, skips = net.encode(faces)
    y = net.decode(content, words(net, net.predict(content)), skips, content_weight=1.0, quality_weight=0.0)
    assert torch.allclose(y, faces, atol=1e-6)


def test_quality_zero_ignores_the_codebook(net, faces):
    content, skips = net.encode(faces)
    a = net.decode(content, torch.zeros_like(content), skips, content_weight=0.5, quality_weight=0.0)
    b = net.decode(content, torch.randn_like(content), skips, content_weight=0.5, quality_weight=0.0)
    # The gate reads the code words, but at quality 0 they are weighted by nothing.
    assert torch.equal(a, b)


def test_content_zero_depends_on_the_codes_alone(net, faces):
    content, skips = net.encode(faces)
    code = words(net, net.predict(content))
    other_content, other_skips = net.encode(faces.flip(-1) * 0.5)
    a = net.decode(content, code, skips, content_weight=0.0)
    b = net.decode(other_content, code, other_skips, content_weight=0.0)
    assert torch.equal(a, b)
    assert not torch.equal(a, net.decode(content, code.flip(0), skips, content_weight=0.0))


def test_content_weight_is_continuous_towards_zero(net, faces):
    content, skips = net.encode(faces)
    code = words(net, net.predict(content))
    ends = [net.decode(content, code, skips, content_weight=c) for c in (0.0, 1e-4, 1e-2)]
    near, far = ((e - ends[0]).abs().mean() for e in ends[1:])
    assert 0 < near < far / 20


def test_positions_of_a_part_are_those_of_the_whole(net):
    content = torch.randn(1, 8, 4, 4)
    alone = net.predict(content[:, :, 2:, 2:], origin=(1, 1))
    net.transformer.position.data[:, 0, 0] += 1  # the whole's first patch is no part of it
    assert torch.equal(alone, net.predict(content[:, :, 2:, 2:], origin=(1, 1)))
    net.transformer.position.data[:, 1, 1] += torch.randn(32)
    assert not torch.equal(alone, net.predict(content[:, :, 2:, 2:], origin=(1, 1)))


def test_logits_are_row_by_row(net):
    """A change at row 1, column 2 of the latent changes that position's logits most directly (the `mix` path)."""
    for parameter in net.transformer.proj_out.parameters():
        parameter.data.zero_()
    content = torch.randn(1, 8, 4, 4)
    changed = content.clone()
    changed[:, :, 1, 2] += 1
    difference = (net.predict(content) - net.predict(changed)).abs().sum(-1)[0]
    assert difference.nonzero().flatten().tolist() == [1 * 4 + 2]


def test_controlled_transform_by_hand():
    transform = ControllableFeatureTransformation(2)
    transform.scale_shift.bias.data = torch.tensor([0.5, 0.5, 1.0, 1.0])
    decoded, encoded = torch.full((1, 2, 3, 3), 2.0), torch.randn(1, 2, 3, 3)
    # 2 + w (2 * 0.5 + 1)
    assert torch.allclose(transform(decoded, encoded, 0.25), torch.full((1, 2, 3, 3), 2.5))
    assert transform(decoded, encoded, 0) is decoded


def test_progress_is_called_between_blocks_and_may_stop_it(net, faces):
    class Stopped(Exception):  # noqa: N818
        pass

    def stop() -> None:
        raise Stopped

    content, skips = net.encode(faces)
    with pytest.raises(Stopped):
        net.predict(content, progress=stop)
    with pytest.raises(Stopped):
        net.decode(content, content, skips, progress=stop)


def test_faces_of_a_batch_do_not_touch_each_other(net, faces):
    content, skips = net.encode(faces)
    both = net.decode(content, words(net, net.predict(content)), skips)
    content, skips = net.encode(faces[1:])
    assert torch.allclose(both[1:], net.decode(content, words(net, net.predict(content)), skips), atol=1e-5)


def test_grain_is_the_same_for_all_faces_and_another_for_each_in_training(net):
    grain = net.decoder.grains[0]
    flat = torch.zeros(2, 16, 8, 8)
    with torch.no_grad():
        drawn = grain(flat)
        assert torch.equal(drawn, grain(flat)) and torch.equal(drawn[0], drawn[1])
        assert drawn[0, 0].std() > 0
        learning = grain.train()(flat)
    assert not torch.equal(learning[0], learning[1])
    torch.testing.assert_close(learning[0, 0] / grain.strength[0], learning[0, 1] / grain.strength[1])


def test_weights_without_grain_still_load(faces):
    plain = ResemblanceNet(replace(TINY, noise_injection=False)).eval()
    config = RestorerConfig.from_state(plain.state_dict())
    assert config == replace(TINY, noise_injection=False)
    other = ResemblanceNet(config).eval()
    other.load_state_dict(plain.state_dict())
    content, skips = plain.encode(faces)
    code = words(plain, plain.predict(content))
    assert torch.equal(other.decode(content, code, skips), plain.decode(content, code, skips))
