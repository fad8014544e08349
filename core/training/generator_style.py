"""The second restorer, after step 2: the linear part of its style head, fitted in closed form.

Ridge regression, in its dual form, from what the trained encoder makes of damaged faces (means of 4x4 places) to their
styles; a tenth of the faces with the encoder unseen, as at content 0. People left out choose how strong it is, how far
what is seen is brought to one scale, and whether the trained part of the head stays beside it.

    python -m resemblance.core.training.generator_style --work WORK --count 1500

reads the average in ``generator_latents.pt`` and writes ``WORK/generator_tokens.safetensors``, for step 3.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..models.generative import GenerativeTokens
from ..models.style_head import coarse
from .drawn import DrawnFaces
from .faces import FaceGenerator
from .generator import load_generator
from .generator_basis import SIDE, read_basis
from .generator_latents import CODES_ALONE, HELD, known_batch, measure
from .loop import read_average

log = logging.getLogger(__name__)

FILE = "generator_tokens.safetensors"
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # in parts of the mean of the kernel's diagonal
EVENNESS = (0.0, 0.7, 1.0, 1.3)  # power of its spread by which each number is divided
LEFT_OUT = 5  # every fifth person chooses among them
BATCH = 4


def read_tokens(checkpoint: Path) -> GenerativeTokens:
    """The averaged network of step 2; of a checkpoint without a linear part, that is zero."""
    net = GenerativeTokens()
    state = read_average(checkpoint)
    net.load_state_dict(net.state_dict() | state)
    return net.eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class Rows:
    """Of M damaged faces what the linear part sees (M,D), the head's style and the true one (M,L), and who (M,)."""

    seen: Tensor
    said: Tensor
    true: Tensor
    who: Tensor


@torch.no_grad()
def rows_of(net: GenerativeTokens, faces: DrawnFaces, count: int, seed: int) -> Rows:
    """`count` damaged faces, of all people in turn; those that lost their colours are left out."""
    rows: list[tuple[Tensor, ...]] = []
    began = time.monotonic()
    everyone = np.random.default_rng(seed).permutation(len(faces))
    for i in range(-(-count // BATCH)):
        rng = np.random.default_rng((seed, i))
        who = everyone[np.arange(i * BATCH, (i + 1) * BATCH) % len(everyone)]
        batch = known_batch(faces, rng, BATCH, who.tolist())
        _, _, soft, z, skips = net.told(batch.damaged)
        w = 0.0 if rng.random() < CODES_ALONE else 1.0
        latent = z if w else soft
        found = coarse(net.style.seen(latent, skips[SIDE], w)), net.style(latent, skips[SIDE], w), batch.styles
        rows.append(tuple(x[batch.coloured] for x in (*found, torch.from_numpy(who))))
        if i % 25 == 24:
            log.info("%d faces, %.2f a second", (i + 1) * BATCH, (i + 1) * BATCH / (time.monotonic() - began))
    return Rows(*(torch.cat(column) for column in zip(*rows, strict=True)))


def dual_ridge(
    x: Tensor, y: Tensor, others: Tensor, strengths: tuple[float, ...] = STRENGTHS
) -> tuple[Tensor, Tensor, float]:
    """Weight (O,D) and bias (O,) from x (M,D) to y (M,O), and the squares left of the rows left out, `others` (M,)."""
    kept, wanted = x[~others], y[~others]
    solutions = _solve(kept, wanted, strengths)
    errors = {
        strength: float((x[others] @ weight.T + bias - y[others]).square().sum())
        for strength, (weight, bias) in zip(strengths, solutions, strict=True)
    }
    best = min(errors, key=lambda strength: errors[strength])
    ((weight, bias),) = _solve(x, y, (best,))
    return weight, bias, errors[best]


def _solve(x: Tensor, y: Tensor, strengths: tuple[float, ...]) -> list[tuple[Tensor, Tensor]]:
    mean, wanted = x.mean(0), y.mean(0)
    centred = x - mean
    kernel = centred @ centred.T
    unit = kernel.diagonal().mean() * torch.eye(len(kernel), dtype=x.dtype, device=x.device)
    weights = [torch.linalg.solve(kernel + strength * unit, y - wanted).T @ centred for strength in strengths]
    return [(weight, wanted - weight @ mean) for weight in weights]


@torch.no_grad()
def fit(net: GenerativeTokens, rows: Rows) -> dict[str, float]:
    """Fit the linear part; the shares left of people left out, by each way to do it.

    What the head says without its linear part is as good on the people that it was trained on as it is nowhere else, so
    it stays only where it helps people left out.
    """
    head = net.style
    direct = head.direct
    assert isinstance(direct, nn.Linear), "it is whole in training"
    deviation = head.axes.square().sum(1).sqrt()
    axes = (head.axes / deviation[:, None]).T
    others = rows.who % LEFT_OUT == 0
    alone = (rows.true - head.mean) @ axes
    trained = (rows.said - head.mean) @ axes - (rows.seen @ direct.weight.T + direct.bias) * deviation
    whole = float((alone[others] - alone[~others].mean(0)).square().sum())
    spread = rows.seen.std(0) + 1e-6
    best, shares = (float("inf"), Tensor(), Tensor(), False), {}
    for evenness in EVENNESS:
        factor = spread.pow(-evenness)
        for beside, target in ((False, alone), (True, alone - trained)):
            weight, bias, error = dual_ridge(rows.seen * factor, target, others)
            shares[f"evenness {evenness}, {'beside' if beside else 'alone'}"] = error / whole
            best = min(best, (error, weight * factor, bias, beside), key=lambda one: one[0])
    _, weight, bias, beside = best
    direct.weight.copy_(weight / deviation[:, None])
    direct.bias.copy_(bias / deviation)
    if not beside:
        head.out.weight.zero_()
        head.out.bias.zero_()
    return shares


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--count", type=int, default=1500, help="damaged faces")
    parser.add_argument("--grow", type=int, default=0, help="people to draw before: each tells a style")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    net = read_tokens(args.work / "generator_latents.pt")
    basis, generator = read_basis(args.work), load_generator(args.assets)
    faces = DrawnFaces(args.work, generator, basis, FaceGenerator(args.assets).synthesize if args.grow else None)
    for _ in range(args.grow):
        faces.grow()
    log.info("%d people", len(faces))
    shares = fit(net, rows_of(net, faces, args.count, args.seed + 40))
    log.info("of the style is left: %s", {name: round(share, 3) for name, share in shares.items()})
    numbers = measure(net, basis, DrawnFaces(args.work, generator, basis, held_out=True), HELD)
    log.info("held out: %s", ", ".join(f"{name} {number:.3f}" for name, number in numbers.items()))
    fresh = (args.work / FILE).with_suffix(".tmp")
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, fresh)
    fresh.replace(args.work / FILE)
    log.info("wrote %s", args.work / FILE)


if __name__ == "__main__":
    main()
