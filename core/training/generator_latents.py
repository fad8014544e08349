"""The second restorer, step 2: encoder, transformer, gate and style head learn from damaged faces what was drawn.

No picture is decoded: a drawn face's latent (see :mod:`.generator_basis`), its code words and its style are known. The
encoder's first levels stay as the first restorer's: they see through damage already, and cost half of the time.
People are drawn beside the training, in a share of its time (:mod:`.drawn`). The style head also learns on the latents
of people of whom nothing else is drawn, blurred and mixed, with its eyes closed to the encoder: as it is used where
content is 0. In the hours that a CPU has, that is less than :mod:`.generator_style` gives at once: ``--no-style`` saves
them.

What to see before going on: of the people held out, severely damaged, at most 60% of the latent's variance and 55% of
the style's are left unexplained (1 is the mean face). They are measured again and again, in the log and in
``WORK/generator_latents.csv``.

    python -m resemblance.core.training.generator_latents --work WORK --minutes 80
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..files.checkpoints import read
from ..models.generative import GenerativeTokens
from ..models.restorer import ResemblanceNet, RestorerConfig
from ..restorers.table import BUILTIN
from .data import prefetch, to_tensor
from .degradation import SEVERITY_SHARES, age
from .drawn import DrawnFaces, growing
from .faces import FaceGenerator
from .generator import Generator, load_generator
from .generator_basis import SIDE, Basis, one_style, read_basis
from .generator_start import begin
from .loop import Stage, arguments, start
from .tables import SEVERITIES, damage_all
from .wear import damage

log = logging.getLogger(__name__)

FROZEN = ("stem", "level0", "down0", "level1", "down1", "level2.0", "level2.1")  # of the encoder
RATES = {"encoder": 0.5, "transformer": 0.5}
ENTROPY, STYLE, IMAGINED = 0.1, 1.0, 0.5  # beside the errors of the three latents
CODES_ALONE = 0.1  # of the batches
PEOPLE = (1 << 30, 1 << 31)  # numbers of those who are imagined
FITTED = 192  # damaged faces that the start is fitted on
MEASURE_SECONDS = 600
HELD = 40  # faces that are measured meanwhile


@dataclass(frozen=True, eq=False)
class Known:
    """N damaged faces (N,3,S,S) in [0,1], their latents (N,C,h,w), styles (N,L) and whether they kept their colours."""

    damaged: Tensor
    latents: Tensor
    styles: Tensor
    coloured: Tensor

    def __len__(self) -> int:
        return len(self.damaged)

    def to(self, device: str) -> Known:
        """The same on a device."""
        return Known(*(x.to(device) for x in (self.damaged, self.latents, self.styles, self.coloured)))


def known_batch(faces: DrawnFaces, rng: np.random.Generator, count: int, who: Sequence[int] | None = None) -> Known:
    """`count` people at random, or those of whom the places are given, in all of training's damage."""
    damaged, latents, styles, coloured = [], [], [], []
    for i in rng.integers(len(faces), size=count) if who is None else who:
        drawn = faces[int(i)]
        aged = age(drawn.picture, rng)
        severity = str(rng.choice(list(SEVERITY_SHARES), p=list(SEVERITY_SHARES.values())))
        damaged.append(damage(np.ascontiguousarray(aged), severity, rng))
        latents.append(drawn.latent)
        styles.append(drawn.style)
        coloured.append(aged is drawn.picture)
    return Known(to_tensor(damaged), torch.stack(latents), torch.stack(styles), torch.tensor(coloured))


class Shares:
    """Errors in parts of the variance about the mean face: 1 is what the mean face leaves.

    Args:
        basis: of the latents.
        device: where they are.
    """

    def __init__(self, basis: Basis, device: str) -> None:
        self.power = (basis.scale.square() / (basis.scale.square() * basis.variance).sum()).to(device)
        self.plain = 1 / float(basis.variance.sum())
        self.style = 1 / float(basis.style_scale.square().sum())

    def of_features(self, told: Tensor, latents: Tensor) -> Tensor:
        """In the generator's features: the strong components decide."""
        return (told.float() - latents).square().mean((0, 2, 3)) @ self.power

    def of_latents(self, told: Tensor, latents: Tensor) -> Tensor:
        """In the latents: the weak ones count, too."""
        return (told.float() - latents).square().mean((0, 2, 3)).sum() * self.plain

    def of_both(self, told: Tensor, latents: Tensor) -> Tensor:
        """The mean of both."""
        return (self.of_features(told, latents) + self.of_latents(told, latents)) / 2

    def of_styles(self, told: Tensor, styles: Tensor) -> Tensor:
        """(N,) in the styles."""
        return (told.float() - styles).square().sum(1) * self.style


@torch.no_grad()
def imagined(generator: Generator, basis: Basis, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Latents (N,C,h,w) as uncertain as a damaged face's, and the styles (N,L) of whom they are."""
    w = generator.people(rng.integers(*PEOPLE, count))
    clean = basis.to_latent(generator.synthesis.features(one_style(w), SIDE)) - basis.face
    uncertain = []
    for latent in clean.split(1):
        width = int(rng.integers(0, 5))
        if width:
            latent = F.avg_pool2d(latent, 2 * width + 1, 1, width, count_include_pad=False)
        uncertain.append(float(rng.uniform(0.4, 1)) * latent)
    others = torch.cat(uncertain).roll(1, 0)
    mixes = torch.from_numpy(rng.uniform(0, 0.4, (count, 1, 1, 1)).astype(np.float32)).to(others)
    return basis.face + torch.cat(uncertain) + mixes * others, w


class LatentLoss:
    """What the network should have told of a batch of :class:`Known`.

    Args:
        net: in training.
        basis: of the latents.
        generator: imagines people for the style head; None leaves that alone.
        seed, step: where chance begins.
    """

    def __init__(self, net: GenerativeTokens, basis: Basis, generator: Generator | None, seed: int, step: int) -> None:
        self.device = str(net.embedding.device)
        self.net, self.basis, self.generator = net, basis.to(self.device), generator
        self.shares = Shares(basis, self.device)
        self.choice = np.random.default_rng((seed, 3, step))

    def __call__(self, batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        """The loss and numbers for the log."""
        assert isinstance(batch, Known)
        batch = batch.to(self.device)
        h, logits, soft, z, skips = self.net.told(batch.damaged)
        codes = self.basis.codes(batch.latents)
        latent, looked_up, mixed = (self.shares.of_both(x, batch.latents) for x in (h, soft, z))
        entropy = F.cross_entropy(logits.float().flatten(0, 1), codes.flatten())
        value = latent + looked_up + mixed + ENTROPY * entropy
        numbers = {"h": latent, "soft": looked_up, "z": mixed, "ce": entropy}
        if self.generator is not None:
            alone = self.choice.random() < CODES_ALONE
            w = self.net.style(soft if alone else z, skips[SIDE], 0.0 if alone else 1.0)
            wrong = self.shares.of_styles(w, batch.styles)
            style = (wrong * batch.coloured).sum() / batch.coloured.sum().clamp(min=1)
            uncertain, styles = imagined(self.generator, self.basis, self.choice, len(batch))
            known = self.shares.of_styles(self.net.style(uncertain, uncertain, 0.0), styles).mean()
            value = value + STYLE * style + IMAGINED * known
            numbers |= {"w": style, "imagined": known}
        return value, {name: number.item() for name, number in numbers.items()}


@torch.inference_mode()
def measure(net: GenerativeTokens, basis: Basis, faces: DrawnFaces, count: int) -> dict[str, float]:
    """Unexplained shares of the people held out: of their features by content, code words and the mix, of the style."""
    shares = Shares(basis, "cpu")
    pictures = [faces[i].picture for i in range(count)]
    names = [str(i) for i in range(count)]
    latents = torch.stack([faces[i].latent for i in range(count)])
    styles = torch.stack([faces[i].style for i in range(count)])
    spread = float(shares.of_features(basis.face.expand_as(latents), latents))
    style_spread = float(shares.of_styles(basis.style_mean.expand_as(styles), styles).mean())
    result: dict[str, float] = {}
    for severity in SEVERITIES:
        sums = np.zeros(4)
        for i, damaged in enumerate(damage_all(pictures, names, severity)):
            h, _, soft, z, skips = net.told(to_tensor([damaged]).to(net.embedding.device))
            w = net.style(z, skips[SIDE]).cpu()
            sums[:3] += [float(shares.of_features(x.cpu(), latents[i : i + 1])) / spread for x in (h, soft, z)]
            sums[3] += float(shares.of_styles(w, styles[i : i + 1]).mean()) / style_spread
        result |= {f"{severity} {name}": s / count for name, s in zip(("h", "soft", "z", "w"), sums, strict=True)}
    return result


def write_row(path: Path, row: dict[str, float]) -> None:
    """Append numbers to a table; its head is written first."""
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(row)
        writer.writerow([f"{number:.4f}" for number in row.values()])


def first(options: argparse.Namespace, basis: Basis, faces: DrawnFaces) -> GenerativeTokens:
    """The network to begin with."""
    state = read(options.weights / BUILTIN.name)
    shipped = ResemblanceNet(RestorerConfig.from_state(state)).requires_grad_(False).eval()
    shipped.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    batch = known_batch(faces, np.random.default_rng((options.seed, 4)), FITTED)
    return begin(shipped, basis, batch.damaged, batch.latents)


def main() -> None:
    """Train."""
    parser = arguments(__doc__.splitlines()[0], minutes=80, lr=6e-4)
    parser.add_argument("--grow", type=float, default=0.3, help="share of the time in which people are drawn")
    parser.add_argument(
        "--style",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="train the style head, too",
    )
    parser.set_defaults(batch=6)
    options = parser.parse_args()
    start(options)
    basis = read_basis(options.work)
    generator = load_generator(options.assets)
    faces = DrawnFaces(options.work, generator, basis, FaceGenerator(options.assets).synthesize)
    held_out = DrawnFaces(options.work, generator, basis, held_out=True)
    begun = (options.work / "generator_latents.pt").is_file()
    net = GenerativeTokens() if begun else first(options, basis, faces)
    net.embedding.requires_grad_(False)
    for name in FROZEN:
        net.encoder.get_submodule(name).requires_grad_(False)
    stage = Stage("generator_latents", net.to(options.device).to(memory_format=torch.channels_last), options, RATES)
    imagining = load_generator(options.assets, device=options.device) if options.style else None
    loss = LatentLoss(stage.module, basis, imagining, options.seed, stage.step)
    measured = stage.seconds

    def report(net: nn.Module, count: int) -> None:
        assert isinstance(net, GenerativeTokens)
        numbers = measure(net, basis, held_out, count)
        log.info("held out: %s", ", ".join(f"{name} {number:.3f}" for name, number in numbers.items()))
        row = {"minutes": stage.seconds / 60, "step": stage.step, "people": len(faces), **numbers}
        write_row(options.work / "generator_latents.csv", row)

    def after(part: float) -> None:
        nonlocal measured
        if stage.seconds - measured > MEASURE_SECONDS:
            report(stage.average, HELD)
            measured = stage.seconds

    batches: Iterator[Known] = prefetch(
        lambda rng, i: known_batch(faces, rng, options.batch), options.seed + 20, stage.step, depth=2
    )
    began = time.monotonic()
    if stage.step == 0:
        report(stage.average, HELD)
        log.info("begun in %.0f s", time.monotonic() - began)
    stage.run(growing(batches, faces, options.grow), loss, after)
    report(stage.average, len(held_out))


if __name__ == "__main__":
    main()
