"""The damage network and its training."""

import numpy as np
import pytest
import torch
from resemblance.core.models.damage import DamageConfig, DamageNet

TINY = DamageConfig(widths=(4, 6, 8, 10))


def test_sizes_are_read_off_the_weights():
    assert DamageConfig.from_state(DamageNet(TINY).state_dict()) == TINY
    assert DamageConfig.from_state(DamageNet().state_dict()) == DamageConfig()


def test_the_face_is_as_damaged_as_its_places_are():
    net = DamageNet(TINY)
    faces = torch.rand(2, 3, 128, 64)
    places = net.places(faces)
    assert places.shape == (2, 1, 4, 2) and bool((places >= 0).all())
    torch.testing.assert_close(net(faces), places.mean((1, 2, 3)))


def test_detail_counts_for_more_than_brightness():
    """What the first level sees of a step of one brightness inside four pixels, beside the same step between fours."""
    net = DamageNet(TINY)
    seen = []
    net.levels[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    inside, between = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)
    inside[..., 2:] = 0.1
    between[..., 4:] = 0.1
    net(inside), net(between)
    strongest = [x[:, :-3].abs().max().item() for x in seen]
    assert strongest[0] == pytest.approx(0.8) and strongest[1] == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def training():
    pytest.importorskip("lpips")
    return pytest.importorskip("resemblance.core.training.damage")


def test_spoiling_follows_the_seed_and_leaves_some_alone(training):
    face = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    spoiled = [training.spoilt(face, np.random.default_rng(seed)) for seed in range(20)]
    assert np.array_equal(spoiled[3], training.spoilt(face, np.random.default_rng(3)))
    alone = sum(np.array_equal(face, other) for other in spoiled)
    assert 0 < alone < 10
    assert all(other.shape == face.shape and other.dtype == np.uint8 for other in spoiled)


def test_the_table_compares_what_is_said_with_what_is_true(training, monkeypatch):
    monkeypatch.setattr(training, "SPOILS", {"darker": lambda face, rng: face // 2, "none": lambda face, rng: face})
    faces = [np.full((512, 512, 3), value, np.uint8) for value in (100, 200)]
    found = training.differences(
        lambda faces: faces.mean((1, 2, 3)), lambda x, y: (x - y).abs().mean((1, 2, 3), keepdim=True), faces
    )
    torch.testing.assert_close(found["darker"][0], torch.tensor([50 / 255, 100 / 255]))
    torch.testing.assert_close(found["darker"][1], torch.tensor([50 / 255, 100 / 255]))
    assert "| none | 0.000 | 0.588 | 0.588 | 0.784 |" in training.table(found)
