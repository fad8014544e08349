"""Stage 8: the prior, a flow from damaged to clean latents, on the pairs that :mod:`.latents` wrote.

What to see before going on: one step lies nearer to the clean latent than the restorer's own mix of latent and code
words does, and nearer with what references gave than without.

    python -m resemblance.core.training.prior --work WORK --minutes 25
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.prior import NOISE, Prior
from ..restorers.table import BUILTIN, Ours, faster_dtype, load_restorer
from .data import prefetch
from .flow import frozen_restorer
from .latents import Latents, open_latents, read_latents
from .loop import Stage, arguments, start, write_weights

log = logging.getLogger(__name__)

HELD_OUT = 128  # samples that are only looked at
ALONE = 0.4  # share of samples without what references gave
AT_START = 0.35  # share of times that are 0: a single step asks there
LOOK = 250  # steps between two looks at the samples held out


def export(prior: Prior, path: Path, restorer: str) -> None:
    """Write the tensors in half precision, with the fingerprint of the restorer they belong to."""
    write_weights(prior, path, "resemblance-prior", restorer=restorer)


def endpoints(prior: Prior, net: Ours, batch: Latents, alone: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The regressed and the clean latent, normalised, and what the velocity is conditioned on.

    Args:
        prior: normalises.
        net: the frozen restorer: its code words and its gate.
        batch: N samples.
        alone: (N,) bool, for which samples what references gave is left out.
    """
    code_latent = net.embedding[batch.codes].mT.unflatten(2, batch.degraded.shape[-2:])
    gate = torch.sigmoid(net.gate_logits(batch.degraded, code_latent).float())
    begin, condition = prior.start(batch.degraded, code_latent, gate, batch.given * ~alone[:, None, None, None])
    return begin, prior.normalise(batch.clean), condition


def main() -> None:
    """Train the prior."""
    parser = arguments(__doc__.splitlines()[0], minutes=25, lr=8e-4)
    parser.add_argument("--export", type=Path, help="write the averaged weights here when done, their mask open")
    parser.set_defaults(batch=16)
    options = parser.parse_args()
    start(options)
    faster = faster_dtype(torch.device(options.device)) == torch.bfloat16  # else it would be emulated
    net = frozen_restorer(options.device, options.weights)
    samples = open_latents(options.work)
    if len(samples) < 2 * HELD_OUT:
        raise ValueError(f"{options.work} holds {len(samples)} samples of latents; expected {2 * HELD_OUT} or more.")
    prior = Prior()
    some = read_latents(samples[HELD_OUT :: max(1, len(samples) // 500)]).clean
    prior.mean.copy_(some.mean((0, 2, 3), keepdim=True))
    prior.spread.copy_(some.std((0, 2, 3), keepdim=True))
    stage = Stage("prior", prior.to(options.device), options)
    device = prior.mean.device
    held = read_latents(samples[:HELD_OUT]).to(options.device)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Latents)
        batch = batch.to(options.device)
        n = len(batch.codes)
        with torch.no_grad():
            begin, end, condition = endpoints(prior, net, batch, torch.rand(n, device=device) < ALONE)
            begin = begin + NOISE * torch.randn_like(begin)
            # Late, little is left to learn: where the flow started is known, so where it is says where it leads.
            t = ((torch.rand(n, device=device) - AT_START) / (1 - AT_START)).clamp_min(0).square()
            x = torch.lerp(begin, end, t[:, None, None, None])
        value = F.mse_loss(prior(x, t, condition).float(), end - begin)
        return value, {"velocity": value.item(), "start": F.mse_loss(begin, end).item()}

    @torch.no_grad()
    def look(part: float) -> None:
        """How far a single step of the average ends from the clean latents held out, beside where it starts."""
        if stage.step % LOOK:
            return
        errors = []
        for left_out in (True, False):
            alone = torch.full((HELD_OUT,), left_out, device=device)
            begin, end, condition = endpoints(stage.average, net, held, alone)
            with torch.autocast(options.device, torch.bfloat16, enabled=faster):
                step = stage.average(begin, begin.new_zeros(HELD_OUT), condition)
            errors.append(F.mse_loss(begin + step.float(), end).item())
        log.info("held out: start %.4f, alone %.4f, with references %.4f", F.mse_loss(begin, end).item(), *errors)

    def make(rng: np.random.Generator, i: int) -> Latents:
        return read_latents(samples[np.sort(rng.integers(HELD_OUT, len(samples), options.batch))])

    stage.run(prefetch(make, options.seed + 7, stage.step), loss, look)
    if options.export:
        export(stage.average, options.export, load_restorer(options.weights / BUILTIN.name).fingerprint)
        log.info("wrote %s", options.export)


if __name__ == "__main__":
    main()
