"""Following a flow from noisy latents to clean ones, with a guide that may steer it.

Provenance: ours, after rectified flow (Liu et al., ICLR 2023) and the guidance of CLR-Face (IJCAI 2024). Licence of
code: Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Field = Callable[[Tensor, float], Tensor]


def solve(
    velocity: Field,
    x: Tensor,
    steps: int,
    guide: Callable[[Tensor], Tensor] | None = None,
    report: Callable[[], None] | None = None,
) -> Tensor:
    """Follow a flow from t = 0 to t = 1 in even steps of Euler's method.

    dx/dt = v(x, t) (rectified flow: Liu et al., ICLR 2023, eq. 1), and with guidance v - t·d(x_1), where
    x_1 = x + (1 - t)·v is where the flow leads to: CLR-Face's guidance of the reverse steps, scaled by how clean the
    latent is (t stands for √ā). t is taken in the middle of the step, so that any number of steps guides by as much.

    Args:
        velocity: v of (N,C,h,w) at a time 0 to 1.
        x: (N,C,h,w) at t = 0.
        steps: 0 or more.
        guide: d, what is to be taken off the velocity in the end, from x_1.
        report: called after each step.
    """
    for i in range(steps):
        t = i / steps
        v = velocity(x, t)
        if guide:
            v = v - (i + 0.5) / steps * guide(x + (1 - t) * v)
        x = x + v / steps
        if report:
            report()
    return x


def towards(likeness: Callable[[Tensor], Tensor], mask: Tensor, strength: float) -> Callable[[Tensor], Tensor]:
    """The guide that takes s·M·∇L / rms(∇L) off the velocity, L = 1 - likeness.

    Works in inference mode, where what `likeness` reads was made outside it.

    Args:
        likeness: latents (N,C,h,w) to cosines (N,).
        mask: (1,1,h,w) in [0,1], M.
        strength: s.
    """

    def guide(latent: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            latent = latent.clone().requires_grad_(True)
            (slope,) = torch.autograd.grad((1 - likeness(latent)).sum(), latent)
        rms = slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
        return strength * mask * slope / rms

    return guide
