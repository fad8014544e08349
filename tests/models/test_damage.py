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
