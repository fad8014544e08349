"""The second restorer, after step 2: the linear part of its style head, fitted in closed form.

Ridge regression, in its dual form, from what the trained encoder makes of damaged faces (means of 4x4 places) to their
styles; a tenth of the faces with the encoder unseen, as at content 0. People left out choose how strong it is, and
whether the trained part of the head stays beside it.

    python -m resemblance.core.training.generator_style --work WORK --count 1500

reads the average in ``generator_latents.pt`` and writes ``WORK/generator_tokens.safetensors``, for step 3.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ..models.generative import GenerativeTokens
from ..models.style_head import coarse
from .drawn import DrawnFaces
from .generator import load_generator
from .generator_basis import SIDE, read_basis
from .generator_latents import CODES_ALONE, HELD, known_batch, measure
from .loop import read_average

log = logging.getLogger(__name__)

FILE = "generator_tokens.safetensors"
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # in parts of the mean of the kernel's diagonal
LEFT_OUT = 5  # every fifth row chooses among them
BATCH = 4


def read_tokens(checkpoint: Path) -> GenerativeTokens:
    """The averaged network of step 2; of a checkpoint without a linear part, that is zero."""
    net = GenerativeTokens()
    state = read_average(checkpoint)
    net.load_state_dict(net.state_dict() | state)
    return net.eval().requires_grad_(False)


@torch.no_grad()
def rows_of(net: GenerativeTokens, faces: DrawnFaces, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the linear part sees of `count` damaged faces (M,D), the whole head's style and the true one, both (M,L)."""
    seen, said, true = [], [], []
    began = time.monotonic()
    for i in range(-(-count // BATCH)):
        rng = np.random.default_rng((seed, i))
        batch = known_batch(faces, rng, BATCH)
        _, _, soft, z, skips = net.told(batch.damaged)
        w = 0.0 if rng.random() < CODES_ALONE else 1.0
        latent = z if w else soft
        kept = batch.coloured
        seen.append(coarse(net.style.seen(latent, skips[SIDE], w))[kept])
        said.append(net.style(latent, skips[SIDE], w)[kept])
        true.append(batch.styles[kept])
        if i % 25 == 24:
            log.info("%d faces, %.2f a second", (i + 1) * BATCH, (i + 1) * BATCH / (time.monotonic() - began))
    return torch.cat(seen), torch.cat(said), torch.cat(true)


def dual_ridge(x: Tensor, y: Tensor, strengths: tuple[float, ...] = STRENGTHS) -> tuple[Tensor, Tensor, float]:
    """Weight (O,D) and bias (O,) from x (M,D) to y (M,O), and the share that is left of rows that were left out."""
    others = torch.arange(len(x)) % LEFT_OUT == 0
    errors = {}
    for strength in strengths:
        weight, bias = _solve(x[~others], y[~others], strength)
        left = (x[others] @ weight.T + bias - y[others]).square().sum()
        errors[strength] = float(left / (y[others] - y[~others].mean(0)).square().sum())
    log.info("ridge: %s", {strength: round(error, 3) for strength, error in errors.items()})
    best = min(errors, key=lambda strength: errors[strength])
    weight, bias = _solve(x, y, best)
    return weight, bias, errors[best]


def _solve(x: Tensor, y: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    mean, wanted = x.mean(0), y.mean(0)
    centred = x - mean
    kernel = centred @ centred.T
    kernel += strength * kernel.diagonal().mean() * torch.eye(len(kernel))
    weight = torch.linalg.solve(kernel, y - wanted).T @ centred
    return weight, wanted - weight @ mean


@torch.no_grad()
def fit(net: GenerativeTokens, seen: Tensor, said: Tensor, true: Tensor) -> dict[str, float]:
    """Fit the linear part; the shares left, of people left out, by it alone and beside the trained part.

    What the head says without its linear part is as good on the people that it was trained on as it is nowhere else, so
    it stays only where it helps people left out.
    """
    head = net.style
    scale = head.axes.square().sum(1)
    direct = seen @ head.direct.weight.T + head.direct.bias
    targets = {
        "alone": (true - head.mean) @ head.axes.T / scale,
        "beside": (true - said) @ head.axes.T / scale + direct,
    }
    deviation = scale.sqrt()
    found = {name: dual_ridge(seen, target * deviation) for name, target in targets.items()}
    spread = (targets["alone"] * deviation).var(0).sum()
    shares = {
        name: error * float((targets[name] * deviation).var(0).sum() / spread) for name, (*_, error) in found.items()
    }
    best = min(shares, key=lambda name: shares[name])
    weight, bias, _ = found[best]
    head.direct.weight.copy_(weight / deviation[:, None])
    head.direct.bias.copy_(bias / deviation)
    if best == "alone":
        head.out.weight.zero_()
        head.out.bias.zero_()
    return shares


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--count", type=int, default=1500, help="damaged faces")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    net = read_tokens(args.work / "generator_latents.pt")
    basis, generator = read_basis(args.work), load_generator(args.assets)
    faces = DrawnFaces(args.work, generator, basis)
    shares = fit(net, *rows_of(net, faces, args.count, args.seed + 40))
    log.info("of the style is left: %s", {name: round(share, 3) for name, share in shares.items()})
    numbers = measure(net, basis, DrawnFaces(args.work, generator, basis, held_out=True), HELD)
    log.info("held out: %s", ", ".join(f"{name} {number:.3f}" for name, number in numbers.items()))
    fresh = (args.work / FILE).with_suffix(".tmp")
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, fresh)
    fresh.replace(args.work / FILE)
    log.info("wrote %s", args.work / FILE)


if __name__ == "__main__":
    main()
