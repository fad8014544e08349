import pytest
import torch
from resemblance.core.models.scratches import CELL, ScratchConfig, ScratchNet, places_of

TINY = ScratchConfig((4, 6, 8, 10))


def test_sizes_are_read_off_the_weights():
    assert ScratchConfig.from_state(ScratchNet(TINY).state_dict()) == TINY
    assert ScratchConfig.from_state(ScratchNet().state_dict()) == ScratchConfig()


def test_each_cell_of_a_face_is_judged():
    torch.manual_seed(0)
    net = ScratchNet(TINY).eval()
    faces = torch.rand(2, 3, 128, 128)
    said = net(faces)
    assert said.shape == (2, 1, 128 // CELL, 128 // CELL)
    assert torch.allclose(said[:1], net(faces[:1]), atol=1e-5)


def test_it_sees_detail_in_units_of_the_contrast_around_it():
    """Of a pale print the same is seen as of a good one, in half of what the first layer is given."""
    net, seen = ScratchNet(TINY).eval(), []
    net.entry.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    face = torch.rand(1, 3, 64, 64)
    net(face), net(0.4 + 0.5 * (face - 0.4))
    strong, pale = (x[:, CELL * CELL : 2 * CELL * CELL] for x in seen)
    assert (strong - pale).abs().mean() < 0.15 * strong.abs().mean()
    plain, paler = (x[:, : CELL * CELL] for x in seen)
    assert torch.allclose(paler, 0.5 * plain, atol=1e-5)


def test_pieces_are_told_where_on_the_face_they_lie():
    whole = places_of(torch.tensor([[-1.0, -1, 1, 1]]), 8)
    assert whole[0, 0, 0].tolist() == pytest.approx([-0.875 + 0.25 * n for n in range(8)])
    assert torch.equal(whole[0, 1], whole[0, 0].T)
    corner = places_of(torch.tensor([[0.0, -1, 1, 0]]), 4)
    assert torch.allclose(corner[0], whole[0, :, :4, 4:])
    net = ScratchNet(TINY).eval()
    face = torch.rand(1, 3, 64, 64)
    here = places_of(torch.tensor([[-1.0, -1, 1, 1]]), 16)
    assert torch.equal(net(face), net(face, here)) and not torch.equal(net(face), net(face, 0.3 * here))
