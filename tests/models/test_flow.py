"""The solver and the guide, by hand."""

from __future__ import annotations

import pytest
import torch
from resemblance.core.models.flow import solve, towards
from torch import Tensor


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_solver_is_eulers(steps: int) -> None:
    x = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1)
    # A straight flow ends where it leads to; decay by dx/dt = -x by compound interest.
    assert torch.allclose(solve(lambda x, t: torch.full_like(x, 3.0), x, steps), x + 3, atol=1e-6)
    assert torch.allclose(solve(lambda x, t: -x, x, steps), x * (1 - 1 / steps) ** steps, atol=1e-6)
    times: list[float] = []
    ticks: list[int] = []
    solve(lambda x, t: times.append(t) or x, x, steps, report=lambda: ticks.append(len(times)))
    assert times == [i / steps for i in range(steps)]
    assert ticks == list(range(1, steps + 1))


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_any_number_of_steps_guides_by_as_much(steps: int) -> None:
    x = torch.zeros(1, 2, 1, 1)
    led: list[Tensor] = []

    def guide(end: Tensor) -> Tensor:
        led.append(end)
        return torch.full_like(end, 4.0)

    # The integral of t over 0 to 1 is a half.
    assert torch.allclose(solve(lambda x, t: torch.zeros_like(x), x, steps, guide), x - 4 / 2, atol=1e-6)
    led.clear()
    solve(lambda x, t: torch.full_like(x, 3.0), x, steps, lambda end: led.append(end) or torch.zeros_like(end))
    assert torch.allclose(torch.cat(led), torch.full((steps, 2, 1, 1), 3.0), atol=1e-6)


def test_guide_is_the_slope_over_its_rms_through_the_mask() -> None:
    weights = torch.tensor([[3.0, -4.0], [0.0, 5.0]]).view(1, 1, 2, 2)
    mask = torch.tensor([[1.0, 0.5], [1.0, 0.0]]).view(1, 1, 2, 2)
    guide = towards(lambda z: (z * weights).sum((1, 2, 3)), mask, strength=0.2)
    rms = ((9 + 16 + 25) / 4) ** 0.5
    expected = torch.tensor([[-3.0, 2.0], [0.0, 0.0]]) * 0.2 / rms
    with torch.inference_mode():
        found = guide(torch.rand(1, 1, 2, 2))
    assert torch.allclose(found[0, 0], expected, atol=1e-6)
