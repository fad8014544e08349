"""The second restorer, step 3: what the damaged face shows comes through to the picture.

The encoder's features reach the decoder through controlled transforms, and a mask lets through what is not damaged. The
generator's layers stay as they are: gradients pass through them. Three batches of four are of squares of 256 px, each
decoded alone from a whole face's tokens; every fourth is of whole faces, compared at half size, at full size about eyes
and mouth, and as recognition sees them, mirrored and shifted at random. Two faces in five are photographs. Content
weights are drawn as in :mod:`.restoration`.

    python -m resemblance.core.training.generator_pictures --work WORK --minutes 90

goes on from what :mod:`.generator_style` wrote. Beside the checkpoint it writes ``WORK/generator_pictures.csv``, with
numbers of London's odd half and of drawn people held out, and ``WORK/generator_pictures.jpg``, a look at them.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..files.checkpoints import read
from ..models.generative import GenerativeNet, GenerativeTokens, blended
from ..models.styled_decoder import DecoderConfig, StyledDecoder, coarse_to_fine
from .components import parts
from .data import prefetch, to_tensor
from .drawn import DrawnFaces
from .generator import START, Generator, load_generator
from .generator_basis import Basis, read_basis
from .generator_latents import HELD, Shares, write_row
from .generator_style import FILE as TOKENS
from .judges import Recognizer, lpips
from .loop import Stage, arguments, start
from .restoration import shifted
from .scores import Judges
from .squares import SIDE, cut, within
from .tables import SEVERITIES, damage_all, people, save_grid
from .truths import CELL, Shown, Truths

log = logging.getLogger(__name__)

RATES = {"encoder": 0.15, "transformer": 0.15, "style": 0.3}
PIXEL, PERCEIVED, PARTS, IDENTITY = 1.0, 1.0, 0.5, 1.5
LATENTS, ENTROPY, STYLE = 0.2, 0.02, 0.1  # where a face was drawn
NEAREST = 0.3  # of the batches see the likeliest code words, the others their mean
MEASURE_SECONDS = 1800
SHOWN = 4  # faces of either set that are measured
METRICS = ("edgeface", "psnr", "lpips_alex", "sharpness", "lab")


def grown(tokens: GenerativeTokens, generator: Generator, basis: Basis) -> GenerativeNet:
    """The whole network: what was trained so far, with the generator's layers behind it, frozen."""
    net = GenerativeNet(tokens.config, tokens.style.config, decoder_config(tokens, generator))
    net.load_state_dict(tokens.state_dict(), strict=False)
    adopt(net.decoder, generator, basis)
    net.embedding.requires_grad_(False)
    for part in (net.decoder.stem, net.decoder.layers, net.decoder.to_img, net.decoder.img):
        part.requires_grad_(False)
    return net


def decoder_config(tokens: GenerativeTokens, generator: Generator) -> DecoderConfig:
    """Sizes of a decoder of these tokens that has the generator's layers above them."""
    sizes, style = tokens.config, tokens.style.config
    channels = generator.synthesis.config.channels[(style.side // START).bit_length() - 1 :]
    return DecoderConfig(sizes.latent, style.side, style.style, channels, sizes.widths[::-1])


@torch.no_grad()
def adopt(decoder: StyledDecoder, generator: Generator, basis: Basis) -> None:
    """Give a decoder the generator's layers above the latent's side, and the way from the latent to their features."""
    synthesis = generator.synthesis
    decoder.stem.weight.copy_((basis.components.T * basis.scale)[..., None, None])
    decoder.stem.bias.copy_(basis.mean)  # type: ignore[union-attr]
    kept = len(decoder.layers)
    decoder.layers.load_state_dict(synthesis.layers[len(synthesis.layers) - kept :].state_dict())
    decoder.to_img.load_state_dict(synthesis.to_img.state_dict())
    decoder.img.weight.copy_(synthesis.img.weight[:3])
    decoder.img.bias.copy_(synthesis.img.bias[:3])  # type: ignore[union-attr,index]


def pixel_loss(y: Tensor, clean: Tensor, size: Tensor) -> Tensor:
    """L1 at full size, a half and a quarter, each where the truth (see :class:`.truths.Shown`) is sharp at it."""
    loss = 2 * F.l1_loss(F.avg_pool2d(y, 4), F.avg_pool2d(clean, 4))
    for part in (1, 2):
        sharp = size <= part
        if sharp.any():
            loss = loss + F.l1_loss(F.avg_pool2d(y[sharp], part), F.avg_pool2d(clean[sharp], part))
    return loss


def seen_anew(rng: np.random.Generator, *faces: Tensor) -> list[Tensor]:
    """Faces (N,3,256,256), the same for all: mirrored or not and moved by up to three pixels."""
    flip = rng.random() < 0.5
    rows, columns = (int(v) for v in rng.integers(-3, 4, 2))
    moved = [F.pad(face, (3, 3, 3, 3), mode="replicate")[..., 3 + rows :, 3 + columns :] for face in faces]
    moved = [face[..., : faces[0].shape[-2], : faces[0].shape[-1]] for face in moved]
    return [face.flip(3) for face in moved] if flip else moved


@dataclass(frozen=True, eq=False)
class Told:
    """What a network in training says of damaged faces before it draws them.

    Attributes:
        content, words, z: (N,C,h,w) what it saw, the code words, and the mix of both.
        logits: (N,h*w,codes) float32.
        features: the encoder's, coarse to fine.
        style: (N,L).
        content_weight: at which it is to draw.
    """

    content: Tensor
    words: Tensor
    z: Tensor
    logits: Tensor
    features: list[Tensor]
    style: Tensor
    content_weight: float


def told_by_chance(net: GenerativeNet, damaged: Tensor, choice: np.random.Generator) -> Told:
    """What is told of damaged faces (N,3,S,S): chance says how code words are taken and what the content weighs."""
    content, skips = net.encode(damaged)
    logits = net.predict(content).float()
    words = net.embedding[logits.argmax(-1)] if choice.random() < NEAREST else logits.softmax(-1) @ net.embedding
    words = words.mT.unflatten(2, content.shape[2:])
    draw = choice.random()
    weight = 0.0 if draw < 0.1 else float(choice.random()) if draw < 0.2 else 1.0
    z = net.mixed(content, words, weight)
    features = coarse_to_fine(skips)
    return Told(content, words, z, logits, features, net.style(z, features[0], weight), weight)


class PictureLoss:
    """What the network should have drawn of a batch of :class:`.truths.Shown`.

    Args:
        net: in training.
        basis: of the latents.
        options: see :func:`.loop.arguments`.
        step: where the stage begins: chance is its own for each.
    """

    def __init__(self, net: GenerativeNet, basis: Basis, options: argparse.Namespace, step: int) -> None:
        self.net, self.basis, self.device = net, basis.to(options.device), options.device
        self.perceptual = lpips("alex", options.assets).to(options.device)
        self.recognizer = Recognizer("arcface", options.assets).to(options.device)
        self.shares = Shares(basis, options.device)
        self.choice = np.random.default_rng((options.seed, 3, step))

    def __call__(self, batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        """The loss and numbers for the log."""
        assert isinstance(batch, Shown)
        batch = batch.to(self.device)
        net, places = self.net, batch.damaged.shape[-1] // CELL
        told = told_by_chance(net, batch.damaged, self.choice)
        z, features, w, content = told.z, told.features, told.style, told.content_weight
        value, numbers = self._told(batch, told)
        if batch.square is None:
            y, mask = net.decoder(z, w, features, content)
            y = blended((y.float() + 1) / 2, mask, batch.damaged, content, 1.0)
            drawn, more = self._whole(y, batch)
        else:
            z, *features = (cut(x, batch.square, places) for x in (z, *features))
            clean, damaged = (cut(x, batch.square, places) for x in (batch.clean, batch.damaged))
            y, mask = net.decoder(z, w, features, content, batch.square)
            y = blended((y.float() + 1) / 2, mask, damaged, content, 1.0)
            drawn, more = self._square(y, clean, batch.size)
        if mask is not None:
            more["mask"] = torch.sigmoid(mask).mean()
        return value + drawn, {name: float(number.detach()) for name, number in (numbers | more).items()}

    def _told(self, batch: Shown, told: Told) -> tuple[Tensor, dict[str, Tensor]]:
        known, w, logits = batch.known, told.style, told.logits
        if not known.any():
            return w.new_zeros(()), {}
        wanted = batch.latents[known]
        errors = [self.shares.of_both(x[known], wanted) for x in (told.content, told.words, told.z)]
        entropy = F.cross_entropy(logits[known].flatten(0, 1), self.basis.codes(wanted).flatten())
        style = self.shares.of_styles(w[known], batch.styles[known]).mean()
        value = LATENTS * sum(errors, w.new_zeros(())) + ENTROPY * entropy + STYLE * style
        return value, {"z": errors[2], "w": style}

    def _square(self, y: Tensor, clean: Tensor, size: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y, clean = within(y), within(clean)
        pixel = pixel_loss(y, clean, size)
        perceived = self.perceptual(*shifted(self.choice, y.clamp(0, 1), clean)).mean()
        return PIXEL * pixel + PERCEIVED * perceived, {"pixel": pixel, "lpips": perceived}

    def _whole(self, y: Tensor, batch: Shown) -> tuple[Tensor, dict[str, Tensor]]:
        pixel = pixel_loss(y, batch.clean, batch.size)
        shown, truth = F.avg_pool2d(y.clamp(0, 1), 2), F.avg_pool2d(batch.clean, 2)
        perceived = self.perceptual(*shifted(self.choice, shown, truth)).mean()
        mirrored = seen_anew(self.choice, shown, truth)
        identity = 1 - (self.recognizer(mirrored[0]) * self.recognizer(mirrored[1]).detach()).sum(1).mean()
        value = PIXEL * pixel + PERCEIVED * perceived + IDENTITY * identity
        numbers = {"pixel_whole": pixel, "lpips_whole": perceived, "identity": identity}
        sharp = batch.size == 1
        if sharp.any():
            finest = self.perceptual(
                *shifted(self.choice, *map(parts, (y[sharp].clamp(0, 1), batch.clean[sharp])))
            ).mean()
            value, numbers = value + PARTS * finest, numbers | {"parts": finest}
        return value, numbers


class Look:
    """Numbers and pictures of faces held out."""

    def __init__(self, work: Path, held_out: DrawnFaces, assets: str | None, count: int = SHOWN) -> None:
        london, names = people(work, "odd")
        step = max(1, len(london) // count)
        drawn = [held_out[HELD + i].picture for i in range(count)]
        self.sets = {
            "london": (london[::step][:count], names[::step][:count]),
            "drawn": (drawn, list("abcdefgh")[:count]),
        }
        self.judges = Judges(assets, METRICS)
        self.work = work

    @torch.inference_mode()
    def __call__(self, net: GenerativeNet) -> dict[str, float]:
        """{set, severity and metric: mean}; the picture shows damaged face, result and truth."""
        numbers: dict[str, float] = {}
        pictures: dict[str, tuple[Tensor, ...]] = {}
        for name, (faces, names) in self.sets.items():
            truth = to_tensor(faces)
            for severity in SEVERITIES:
                damaged = to_tensor(damage_all(faces, names, severity))
                drawn = []
                for face in damaged.to(net.embedding.device).split(1):
                    h, _, words, _, skips = net.told(face)
                    drawn.append(net.decode(h, words, skips).clamp(0, 1).cpu())
                result = torch.cat(drawn)
                found = self.judges(result, truth)
                numbers |= {f"{name} {severity} {metric}": float(np.mean(found[metric])) for metric in METRICS}
                pictures[f"{name} {severity}"] = (damaged, result, truth)
        save_grid(pictures, self.work / "generator_pictures.jpg", rows=SHOWN)
        return numbers


def main() -> None:
    """Train."""
    parser = arguments(__doc__.splitlines()[0], minutes=90, lr=8e-4)
    parser.set_defaults(batch=3)
    options = parser.parse_args()
    start(options)
    basis = read_basis(options.work)
    generator = load_generator(options.assets)
    tokens = GenerativeTokens()
    tokens.load_state_dict(read(options.work / TOKENS))
    net = grown(tokens, generator, basis).to(options.device).to(memory_format=torch.channels_last)
    stage = Stage("generator_pictures", net, options, RATES)
    faces = Truths(options.work, DrawnFaces(options.work, generator, basis))
    look = Look(options.work, DrawnFaces(options.work, generator, basis, held_out=True), options.assets)
    judged = PictureLoss(stage.module, basis, options, stage.step)
    measured = stage.seconds

    def report(net: nn.Module) -> None:
        assert isinstance(net, GenerativeNet)
        numbers = look(net)
        log.info("held out: %s", ", ".join(f"{name} {number:.3f}" for name, number in numbers.items()))
        row = {"minutes": stage.seconds / 60, "step": stage.step, **numbers}
        write_row(options.work / "generator_pictures.csv", row)

    def after(part: float) -> None:
        nonlocal measured
        if stage.seconds - measured > MEASURE_SECONDS:
            report(stage.average)
            measured = stage.seconds

    def make(rng: np.random.Generator, i: int) -> Shown:
        whole = i % 4 == 3  # which cost four times as much
        return faces.batch(rng, max(1, options.batch // 2) if whole else options.batch, None if whole else SIDE)

    if stage.step == 0:
        began = time.monotonic()
        report(stage.average)
        log.info("a look takes %.0f s", time.monotonic() - began)
    batches: Iterator[Shown] = prefetch(make, options.seed + 30, stage.step, depth=2)
    stage.run(batches, judged, after)
    report(stage.average)


if __name__ == "__main__":
    main()
