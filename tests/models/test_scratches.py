import torch
from resemblance.core.models.scratches import ScratchConfig, ScratchNet

TINY = ScratchConfig(widths=(4, 6, 8, 10))


def test_sizes_are_read_off_the_weights() -> None:
    assert ScratchConfig.from_state(ScratchNet(TINY).state_dict()) == TINY
    assert ScratchConfig.from_state(ScratchNet().state_dict()) == ScratchConfig()


def test_each_pixel_is_told_of_and_all_levels_have_a_say() -> None:
    torch.manual_seed(0)
    net = ScratchNet(TINY)
    faces = torch.rand(2, 3, 64, 96)
    said = net(faces)
    assert said.shape == (2, 1, 64, 96) and said.dtype == torch.float32
    said.square().mean().backward()
    quiet = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert all("conv1" in name for name in quiet)  # behind a branch that starts at zero
    half = net.bfloat16()(faces)
    torch.testing.assert_close(half, said, rtol=0.1, atol=0.1)
