"""A device that cannot do a step: the CPU does it, and one message says so."""

from __future__ import annotations

import logging

import pytest
import torch
from resemblance.core import devices
from resemblance.core.devices import falls_back, retried
from torch import Tensor, nn

SAID = "The operator 'aten::grid_sampler_2d' is not currently implemented for the MPS device."


class Elsewhere(nn.Linear):
    """A layer on a device that has no numbers: "meta" stands for one that lacks operators."""

    def __init__(self) -> None:
        super().__init__(2, 2, device="meta")

    def to(self, *args: object, **kwargs: object) -> Elsewhere:  # type: ignore[override]
        """Meta tensors hold nothing that could be moved."""
        return self.to_empty(device="cpu")


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "SETTLED", ("cpu",))


class Owner:
    """Something with a network."""

    def __init__(self, error: Exception) -> None:
        self.network, self.error, self.calls = Elsewhere(), error, 0

    @falls_back
    def shape(self, x: Tensor) -> torch.Size:
        """Fails wherever the network is not on the CPU."""
        self.calls += 1
        if self.network.weight.device.type != "cpu":
            raise self.error
        return self.network(x).shape


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError(SAID),
        RuntimeError("MPS: Unsupported Border padding mode"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("\"topk\" not implemented for 'BFloat16'"),
    ],
)
def test_what_a_device_lacks_is_done_on_the_cpu_and_said_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(error)
    with caplog.at_level(logging.WARNING):
        assert owner.shape(torch.ones(1, 2)) == (1, 2)
        assert owner.shape(torch.ones(3, 2)) == (3, 2)
    assert owner.calls == 3
    (record,) = caplog.records
    assert str(error) in record.message and "'meta'" in record.message and "CPU" in record.message


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), torch.OutOfMemoryError("MPS backend out of memory")])
def test_other_errors_are_none_of_its_business(error: Exception) -> None:
    owner = Owner(error)
    with pytest.raises(type(error), match=str(error)):
        owner.shape(torch.ones(1, 2))
    assert owner.calls == 1


def test_what_the_cpu_lacks_too_is_raised() -> None:
    def step() -> None:
        raise NotImplementedError(SAID)

    with pytest.raises(NotImplementedError, match="grid_sampler"):
        retried(step, nn.Linear(2, 2), None)
