"""Stage 4: where in a reference each place of a damaged face is. The restorer is frozen; only the flow is trained.

The flow must take known places where they are (landmarks, or samples of the field a face was bent by), be smooth, and
warp the reference's colours onto the clean face's.

    python -m resemblance.core.training.flow --work WORK --minutes 15
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.correspondence import Matches, warp
from ..models.fusion import match_colours
from ..models.generative import GenerativeNet
from ..models.lookup import look_up
from ..models.transfer import Photographs, TransferConfig, TransferNet
from ..records import Lookup
from ..restorers.table import BUILTIN, Ours, load_restorer
from .data import prefetch
from .loop import Stage, arguments, start
from .pairs import PairPool, Trial, trial

log = logging.getLogger(__name__)

PLACES, COLOURS, SMOOTH = 1.0, 0.5, 0.05
PIXELS = 256  # of a face for one unit of the flow


def frozen_restorer(device: str, weights: Path) -> Ours:
    """The restorer in a folder of weights, float32, without gradients to its own."""
    network = load_restorer(weights / BUILTIN.name, device, torch.float32).network
    assert isinstance(network, Ours)
    return network.to(memory_format=torch.channels_last)


def transfer_of(net: Ours) -> TransferNet:
    """A transfer network of the sizes that a restorer asks for."""
    return TransferNet(TransferConfig(net.config.widths, net.config.latent, takes=isinstance(net, GenerativeNet)))


def encoded(net: Ours, faces: Tensor) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """Faces (N,3,512,512) to latent, code words as the restorer takes them, and skips, the faces among them."""
    with torch.no_grad():
        content, skips = net.encode(faces)
        code_latent, _ = look_up(net.predict(content), net.codebook(), Lookup(net.lookup), side=content.shape[-2])
    return content, code_latent, skips


def photographs(net: Ours, pictures: Tensor, identity: Tensor) -> Photographs:
    """References (N,R,3,512,512) with embeddings (N,R,D), encoded; all weigh the same."""
    n, r = pictures.shape[:2]
    with torch.no_grad():
        content, skips = net.encode(pictures.flatten(0, 1))
    features = {side: x.unflatten(0, (n, r)) for side, x in skips.items() if side < pictures.shape[-1]}
    return Photographs(pictures, content.unflatten(0, (n, r)), features, identity, pictures.new_ones(n, r))


def matches(net: Ours, transfer: TransferNet, batch: Trial) -> Matches:
    """What the flow finds in a batch's references."""
    content, code_latent, skips = encoded(net, batch.damaged)
    seen = photographs(net, batch.references, batch.references.new_zeros(*batch.right.shape, 1))
    return transfer.correspondence(
        (skips[32], content, code_latent), (seen.skips[32], seen.content), (skips[64], seen.skips[64])
    )


def place_error(flow: Tensor, here: Tensor, there: Tensor, right: Tensor) -> Tensor:
    """Mean distance [px of 512] between where known places are and where the flow (N,R,2,s,s) says."""
    known = here.isfinite().all(-1) & there.isfinite().all(-1) & right[..., None] & (here.abs() < 1).all(-1)
    at = here.nan_to_num().flatten(0, 1)[:, None]
    said = F.grid_sample(flow.flatten(0, 1), at, align_corners=False, padding_mode="border")[:, :, 0].mT
    wrong = (said - (there - here).nan_to_num().flatten(0, 1)).square().sum(-1).add(1e-8).sqrt()
    return (wrong * known.flatten(0, 1)).sum() / known.sum().clamp_min(1) * PIXELS


def colour_error(flow: Tensor, references: Tensor, clean: Tensor) -> Tensor:
    """Mean difference between clean faces (N,3,S,S) and their references (N,R,3,S,S) seen through the flow (N,R,2,s,s).

    At a quarter of the size, in the faces' own colours.
    """
    truth = F.avg_pool2d(clean.repeat_interleave(references.shape[1], 0), 4)
    seen = warp(F.avg_pool2d(references.flatten(0, 1), 4), flow.flatten(0, 1))
    return F.l1_loss(match_colours(seen, truth), truth)


def main() -> None:
    """Train the flow."""
    parser = arguments(__doc__.splitlines()[0], minutes=15, lr=6e-4)
    options = parser.parse_args()
    start(options)
    net = frozen_restorer(options.device, options.weights)
    transfer = transfer_of(net)
    transfer.to(options.device).to(memory_format=torch.channels_last)
    stage = Stage("flow", nn.ModuleDict({"correspondence": transfer.correspondence}), options)
    pool = PairPool(options.work)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Trial)
        batch = batch.to(options.device)
        found = matches(net, transfer, batch)
        places = place_error(found.flow, batch.here, batch.there, batch.right)
        still = place_error(torch.zeros_like(found.flow), batch.here, batch.there, batch.right)
        flow = found.flow
        smooth = (flow.diff(dim=-1).abs().mean() + flow.diff(dim=-2).abs().mean()) * 64
        colours = colour_error(flow, batch.references, batch.clean)
        value = PLACES * places / 8 + COLOURS * 4 * colours + SMOOTH * smooth
        return value, {"places": places.item(), "still": still.item(), "colours": colours.item()}

    def make(rng: np.random.Generator, i: int) -> Trial:
        return trial(pool, rng, options.batch, 1)

    stage.run(prefetch(make, options.seed + 4, stage.step), loss)


if __name__ == "__main__":
    main()
