import pytest
import torch
from resemblance.core.files.networks import filled
from torch import nn


class Two(nn.Module):
    """Two layers that need not fit each other."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, a), nn.Linear(b, 3)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        return self.two(self.one(x)) + self.mean


def build(state):
    return Two(state["one.weight"].shape[0], state["two.weight"].shape[1])


def attempt(network):
    network(torch.zeros(1, 3, device="meta"))


def test_the_tensors_become_the_network():
    state = Two(4, 4).state_dict()
    network = filled(build, state, "it", attempt)
    assert all(torch.equal(network.state_dict()[name], x) for name, x in state.items())
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert network(torch.ones(1, 3)).isfinite().all()
    other = filled(build, state, "it", lambda network: network(torch.zeros(1, 3)), "cpu")
    assert torch.equal(other(torch.ones(1, 3)), network(torch.ones(1, 3)))
    assert filled(build, Two(4, 4).half().state_dict(), "it").one.weight.dtype == torch.float16


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"one.weight": None}, "'one.weight' is missing"),
        ({"two.bias": None}, "Missing key"),
        ({"three": torch.zeros(1)}, "Unexpected key"),
        ({"one.weight": torch.zeros(())}, "index out of range"),
        ({"one.bias": torch.zeros(5)}, "size mismatch"),
        ({"mean": torch.zeros(3, dtype=torch.int64)}, "'mean' is torch.int64, in place of torch.float32"),
        ({"one.weight": torch.zeros(5, 3), "one.bias": torch.zeros(5)}, "a and b must have|1x5 and 4x3"),
        ({"one.weight": torch.zeros(0, 3), "one.bias": torch.zeros(0)}, "."),
    ],
)
def test_tensors_that_do_not_fit(change, reason):
    state = {name: x for name, x in (Two(4, 4).state_dict() | change).items() if x is not None}
    with pytest.raises(ValueError, match=f"^The weights of it do not fit: .*({reason}).*Download them again.$"):
        filled(build, state, "it", attempt)
