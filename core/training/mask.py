"""Stage 9: the mask through which an identity may move a latent, learned with the prior frozen.

Where one step of the prior leads is moved down the slope of the identity loss, as :mod:`..refinement` does it, and
drawn: the mask is to bring the drawn face nearer to the truth, as the embedder's teacher and the eye see it, and to
be no larger than that takes.

    python -m resemblance.core.training.mask --work WORK --minutes 5 --export core/weights/prior.safetensors
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..faces.identity import WEIGHTS, BuiltinEmbedder
from ..models.flow import solve, towards
from ..models.prior import NOISE, Prior
from ..refinement import IDENTITY_SCALE
from ..restorers.table import BUILTIN, load_restorer
from .data import prefetch
from .flow import encoded, frozen_restorer
from .judges import Recognizer
from .loop import Stage, arguments, read_average, start
from .pairs import PairPool, Trial, trial
from .prior import export

log = logging.getLogger(__name__)

PIXEL, SPARSE = 1.0, 0.03
REACH = 0.1  # how far the sigmoid is stretched beyond 0 and 1, so that both are met


class Mask(nn.Module):
    """A map (1,1,h,w) in [0,1], the same on both sides of the face."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(1, 1, side, side))

    def forward(self) -> Tensor:
        """The map. Stretched and clipped, as a hard concrete gate (Louizos et al., ICLR 2018) in its mean."""
        both = (self.logits + self.logits.flip(-1)) / 2
        return (torch.sigmoid(both) * (1 + 2 * REACH) - REACH).clamp(0, 1)


def main() -> None:
    """Train the mask and write the prior with it."""
    parser = arguments(__doc__.splitlines()[0], minutes=5, lr=0.1)
    parser.add_argument("--export", type=Path, help="write the prior and its mask here when done")
    parser.set_defaults(batch=2)
    options = parser.parse_args()
    start(options)
    net = frozen_restorer(options.device, options.weights)
    prior = Prior().requires_grad_(False).eval()
    prior.load_state_dict(read_average(options.work / "prior.pt"))
    prior.to(options.device)
    stage = Stage("mask", Mask(prior.config.side).to(options.device), options)
    embedder = BuiltinEmbedder(options.weights / WEIGHTS.name, options.device).network
    judge = Recognizer("arcface", options.assets).to(options.device)
    pool = PairPool(options.work)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Trial)
        batch = batch.to(options.device)
        content, code_latent, skips = encoded(net, batch.damaged)
        with torch.no_grad():
            target, truth = embedder(batch.references[:, 0]), judge(batch.clean)
            begin, condition = prior.start(
                content, code_latent, torch.sigmoid(net.gate_logits(content, code_latent)), None
            )
            begin = begin + NOISE * torch.randn_like(begin)
            led = solve(lambda x, t: prior(x, x.new_full((len(x),), t), condition).float(), begin, 1)
        mask = stage.module()
        guide = towards(
            lambda z: (embedder(net.decode(prior.restore(z), code_latent, skips)) * target).sum(1),
            torch.ones_like(mask),
            IDENTITY_SCALE,
        )
        # All steps of the solver together take half of it: t is a half in the mean.
        drawn = net.decode(prior.restore(led - mask * guide(led) / 2), code_latent, skips).clamp(0, 1)
        identity = 1 - (judge(drawn) * truth).sum(1).mean()
        pixel = F.l1_loss(F.avg_pool2d(drawn, 4), F.avg_pool2d(batch.clean, 4))
        numbers = {"identity": identity, "pixel": pixel, "mask": mask.mean(), "closed": (mask == 0).float().mean()}
        value = identity + PIXEL * pixel + SPARSE * mask.mean()
        return value, {key: float(number.detach()) for key, number in numbers.items()}

    stage.run(prefetch(lambda rng, i: trial(pool, rng, options.batch, 1), options.seed + 8, stage.step), loss)
    prior.mask.copy_(stage.module().detach())
    if options.export:
        export(prior, options.export, load_restorer(options.weights / BUILTIN.name).fingerprint)
        log.info("wrote %s", options.export)


if __name__ == "__main__":
    main()
