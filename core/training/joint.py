"""Stage 6: how faces are drawn, tuned at full sharpness with an adversary, without references and with them by turns.

Encoder, code words, gates, and all that says where in a reference to look stay as they are, so that latents written by
then, and a prior trained on them, stay true; the decoder learns, and what fuses references into it. The adversary looks
at patches of 128 px and is told where in the face they lie: eyes and mouth always are among them.

    python -m resemblance.core.training.joint --work WORK --minutes 35 \\
        --export-restorer core/weights/restorer.safetensors --export-transfer core/weights/transfer.safetensors
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..faces.identity import WEIGHTS
from ..geometry import TEMPLATE_SIZE
from ..models.restorer import ResemblanceNet, RestorerConfig
from ..models.transfer import TransferNet
from ..restorers.table import load_restorer
from . import references, restoration
from .adversary import PATCH, Critic, corners, scaled
from .codes import load_tokenizer
from .data import Batch, FacePool, damaged_batch, prefetch
from .loop import Stage, arguments, read_average, start
from .pairs import PairPool, Trial, trial

log = logging.getLogger(__name__)

SHARE = 0.2  # of the adversary in the gradient at the patches
ALONE = 0.1  # part of the time in which the adversary learns alone
FASTER = 5.0  # the critic learns, or what draws fools it before it has learned anything
WRONG = 0.25  # share of references that show somebody else


class Adversary:
    """Adds to the gradient at drawn faces what makes them look real, and says what the critic has to learn.

    Args:
        critic: in training, with the same optimiser as what draws.
        choice: of patches.
    """

    def __init__(self, critic: Critic, choice: np.random.Generator) -> None:
        self.critic, self.choice = critic, choice
        axis = torch.linspace(-1, 1, TEMPLATE_SIZE, device=next(critic.parameters()).device)
        self.places = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]

    def __call__(
        self, drawn: Tensor, clean: Tensor, origin: tuple[int, int], part: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The critic's hinge loss, on faces or squares (N,3,S,S) that begin at a patch row and column of 32 px."""
        leaf = drawn.detach().clamp(0, 1).requires_grad_(True)
        spots = corners(self.choice, drawn.shape[-1])
        top, left = (32 * v for v in origin)

        def patches(x: Tensor) -> Tensor:
            return torch.cat([x[..., r : r + PATCH, c : c + PATCH] for r, c in spots])

        where = torch.cat(
            [
                self.places[..., top + r : top + r + PATCH, left + c : left + c + PATCH].expand(len(drawn), -1, -1, -1)
                for r, c in spots
            ]
        )
        if part > ALONE:
            score = self.critic(patches(leaf), where).float().mean()
            (pull,) = torch.autograd.grad(-score, leaf)
            drawn.register_hook(lambda slope: slope + SHARE * scaled(pull, slope))
        real, fake = self.critic(patches(clean), where), self.critic(patches(leaf.detach()), where)
        value = F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()
        return value, {"critic": value.item(), "real": real.mean().item(), "fake": fake.mean().item()}


def trained_parts(net: ResemblanceNet, transfer: TransferNet) -> None:
    """Let nothing learn but what draws."""
    net.requires_grad_(False)
    transfer.requires_grad_(False)
    for module in (net.decoder, transfer.fusions, transfer.bands):
        module.requires_grad_(True)


def main() -> None:
    """Tune, and write both networks."""
    parser = arguments(__doc__.splitlines()[0], minutes=35, lr=2e-4)
    parser.add_argument("--export-restorer", type=Path, help="write the restorer here when done")
    parser.add_argument("--export-transfer", type=Path, help="write the transfer network here when done")
    parser.set_defaults(batch=2)
    options = parser.parse_args()
    start(options)
    tokenizer = load_tokenizer(options.work, options.device)
    state = read_average(options.work / "restoration.pt")
    net = ResemblanceNet(RestorerConfig.from_state(state))
    net.load_state_dict(state)
    transfer = TransferNet.from_state(read_average(options.work / "references.pt"))
    trained_parts(net, transfer)
    module = nn.ModuleDict({"net": net, "transfer": transfer, "critic": Critic()})
    stage = Stage("joint", module.to(options.device).to(memory_format=torch.channels_last), options, {"critic": FASTER})
    blind = restoration.BlindLoss(net, tokenizer, options, stage.step)
    guided = references.GuidedLoss(net, transfer, options, wrong=True)
    adversary = Adversary(module["critic"], np.random.default_rng((options.seed, 9, stage.step)))  # type: ignore[arg-type]
    faces, people = FacePool(options.work), PairPool(options.work)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Batch | Trial)
        if isinstance(batch, Batch):
            value, numbers, drawn, clean = blind(batch)
            origin, kind = batch.origin, "blind"
        else:
            value, numbers, drawn, clean = guided(batch)
            origin, kind = (0, 0), "guided"
        sharp = batch.sharp.to(drawn.device)
        numbers = {f"{kind}_{key}": number for key, number in numbers.items()}
        if not sharp.all():
            return value, numbers  # a soft photograph would teach that soft is real
        learnt, scores = adversary(drawn, clean, origin, part)
        return value + learnt, numbers | {f"{kind}_{key}": number for key, number in scores.items()}

    def make(rng: np.random.Generator, i: int) -> Batch | Trial:
        if i % 2:
            return trial(people, rng, options.batch, 2 if i % 8 == 7 else 1, WRONG)
        if i % 4:
            return damaged_batch(faces, rng, options.batch, None)
        return damaged_batch(faces, rng, restoration.CROPS_PER_FACE * options.batch, restoration.CROP)

    batches: Iterator[Any] = prefetch(make, options.seed + 9, stage.step)
    stage.run(batches, loss)
    if options.export_restorer and options.export_transfer:
        restoration.export(stage.average["net"], options.export_restorer, restoration.fingerprint(tokenizer))
        restorer = load_restorer(options.export_restorer)
        embedder = options.weights / WEIGHTS.name
        references.export(stage.average["transfer"], options.export_transfer, restorer.fingerprint, embedder)
        log.info("wrote %s and %s", options.export_restorer, options.export_transfer)


if __name__ == "__main__":
    main()
