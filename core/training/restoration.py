"""Stage 3: restoration without references. Encoder, transformer, gate and decoder together, on damaged faces.

Every other batch is of 256 px squares at full sharpness, the others of whole faces, compared at full size where they
are truth there, at 256 px (L1, LPIPS) and as recognition sees them. A tenth of the batches is drawn from codes alone
(content 0), a tenth at a content weight between, so that the weight means the same everywhere; in a tenth the latent is
moved towards the clean one, as refinement will move it, so that the decoder follows.

    python -m resemblance.core.training.restoration --work WORK --minutes 45 --export core/weights/restorer.safetensors

goes on from ``codes.pt``, or with ``--start`` from any checkpoint of the same widths: blocks it has not begin as
identity.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import re
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.restorer import ResemblanceNet
from .codes import code_losses, load_tokenizer
from .data import Batch, FacePool, damaged_batch, prefetch
from .device_data import DeviceFaces, in_turn, load_drawing
from .judges import Recognizer, lpips
from .loop import Stage, arguments, read_average, start, write_weights
from .tokenizer import Tokenizer

log = logging.getLogger(__name__)

CROP = 256
CROPS_PER_FACE = 4  # squares of 256 px cost a quarter of a face
REFINED = 0.1  # of the batches
SPREAD = "n (y x) c -> n c y x"
PIXEL, PERCEIVED, IDENTITY, CODES, GATE, LATTICE = 1.0, 1.0, 0.7, 0.3, 0.2, 5.0
CELL = 16  # side of a cell of the latent's grid [px]
WINDOW = 4  # cells, in which a texture that repeats is looked for


def fingerprint(tokenizer: nn.Module) -> str:
    """What the frozen encoder and codebook are, in 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tokenizer.state_dict().items()):
        if name.startswith(("net.encoder", "net.embedding")):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def export(net: nn.Module, path: Path, tokenizer: str) -> None:
    """Write a network's tensors in half precision, with the tokenizer they were trained on."""
    write_weights(net, path, "resemblance-restorer", tokenizer=tokenizer)


def grown(state: dict[str, Tensor]) -> ResemblanceNet:
    """Today's network with the weights of one that may have had fewer ResBlocks and no grain: both do nothing much yet.

    Raises:
        ValueError: more is missing than these.
    """
    net = ResemblanceNet()
    found = net.load_state_dict(state, strict=False)
    new = re.compile(
        r"(encoder\.level2|decoder\.levels\.\d)\.\d+\.conv[12]\.(weight|bias)|decoder\.grains\.\d\.strength"
    )
    other = [key for key in found.missing_keys if not new.fullmatch(key)] + found.unexpected_keys
    if other:
        raise ValueError(
            f"Checkpoint and network differ in {', '.join(other[:3])}; expected ResBlocks and grain at most."
        )
    return net


def gate_target(h: Tensor, words: Tensor, clean: Tensor) -> Tensor:
    """The mix of latent and code words (N,1,h,w) in [0,1] that lies nearest to the clean latent."""
    step = words - h
    return ((clean - h) * step).sum(1, keepdim=True).div(step.square().sum(1, keepdim=True) + 1e-6).clamp(0, 1)


def pixel_loss(y: Tensor, clean: Tensor, sharp: Tensor) -> Tensor:
    """L1 at full size where the truth is sharp, and at a half and a quarter everywhere."""
    loss = F.l1_loss(F.avg_pool2d(y, 2), F.avg_pool2d(clean, 2)) + 2 * F.l1_loss(
        F.avg_pool2d(y, 4), F.avg_pool2d(clean, 4)
    )
    return loss + F.l1_loss(y[sharp], clean[sharp]) if sharp.any() else loss


def repeated(faces: Tensor) -> Tensor:
    """How strong a texture is that comes again in every cell of the latent's grid: (N,Y,X) for windows of 4x4 cells.

    Args:
        faces: (N,3,H,W) whose first row and column begin a cell.

    Returns:
        Root mean square of the detail finer than 10 px and coarser than 2, averaged over the window's cells.
    """
    half = F.avg_pool2d(faces, 2)
    fine = half - F.avg_pool2d(half, 5, 1, 2, count_include_pad=False)
    side = WINDOW * CELL // 2
    height, width = (n // side * side for n in half.shape[2:])
    cell = reduce(
        fine[..., :height, :width].float(),
        "n c (y a p) (x b q) -> n y x c p q",
        "mean",
        a=WINDOW,
        b=WINDOW,
        p=CELL // 2,
        q=CELL // 2,
    )
    return (cell.square().mean((3, 4, 5)) + 1e-8).sqrt()


def lattice_loss(y: Tensor, clean: Tensor) -> Tensor:
    """How much more than the truth a face repeats itself from cell to cell; nothing where it repeats less."""
    return F.relu(repeated(y) - repeated(clean)).mean()


def shifted(rng: np.random.Generator, *pictures: Tensor) -> list[Tensor]:
    """Pictures less seven rows and columns, at either end: a loss that strides leaves no grid behind then."""
    top, left = (int(v) for v in rng.integers(0, 8, 2))
    return [
        picture[..., top : picture.shape[-2] - 7 + top, left : picture.shape[-1] - 7 + left] for picture in pictures
    ]


class BlindLoss:
    """What restoring without references should have done, for batches of squares and of whole faces.

    Args:
        net: in training.
        tokenizer: what the clean face's latent and codes are, frozen.
        options: see :func:`.loop.arguments`.
        step: where the stage begins: chance is its own for each.
    """

    def __init__(self, net: ResemblanceNet, tokenizer: Tokenizer, options: argparse.Namespace, step: int) -> None:
        self.net, self.tokenizer, self.device = net, tokenizer, options.device
        self.perceptual = lpips("alex", options.assets).to(options.device)
        self.recognizer = Recognizer("arcface", options.assets).to(options.device)
        self.choice = np.random.default_rng((options.seed, 3, step))

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, float], Tensor, Tensor]:
        """The loss, numbers for the log, the restored faces and the clean ones on the device."""
        net, choice = self.net, self.choice
        clean, damaged, sharp = (t.to(self.device) for t in (batch.clean, batch.damaged, batch.sharp))
        with torch.no_grad():
            target, _ = self.tokenizer.net.encode(clean)
            _, codes = self.tokenizer.nearest(target)
        h, skips = net.encode(damaged)
        logits = net.predict(h, batch.origin)
        code_value, words, numbers = code_losses(net, h, logits, target, codes)
        if choice.random() < REFINED:
            h = torch.lerp(h, target.to(h), float(choice.uniform(0, 0.7)))
            words = rearrange(net.embedding[net.predict(h, batch.origin).argmax(-1)], SPREAD, y=h.shape[2])
        elif choice.random() < 0.5:
            words = rearrange(net.embedding[logits.argmax(-1)], SPREAD, y=h.shape[2])
        draw = choice.random()
        content = 0.0 if draw < 0.1 else float(choice.random()) if draw < 0.2 else 1.0
        y = net.decode(h, words, skips, content)
        wanted = gate_target(h.float(), words, target.float()).detach()
        gate = F.mse_loss(torch.sigmoid(net.gate_logits(h, words).float()), wanted)
        pixel = pixel_loss(y, clean, sharp)
        lattice = lattice_loss(y, clean)
        whole = y.shape[-1] == net.config.size
        shown, truth = y.clamp(0, 1), clean
        if whole:
            shown, truth = F.avg_pool2d(shown, 2), F.avg_pool2d(truth, 2)
        perceived = self.perceptual(*shifted(choice, shown, truth)).mean()
        value = PIXEL * pixel + PERCEIVED * perceived + CODES * code_value + GATE * gate + LATTICE * lattice
        kind = "whole" if whole else "crop"
        # Every other batch: twice, so that the log's mean is true.
        numbers |= {f"pixel_{kind}": 2 * pixel.item(), f"lpips_{kind}": 2 * perceived.item(), "gate": gate.item()}
        numbers["lattice"] = 255 * lattice.item()
        if whole:
            with torch.no_grad():
                wanted_identity = self.recognizer(truth)
            identity = 1 - (self.recognizer(shown) * wanted_identity).sum(1).mean()
            value = value + IDENTITY * identity
            numbers["identity"] = 2 * identity.item()
        return value, numbers, y, clean


def main() -> None:
    """Train the restorer and write its weights."""
    parser = arguments(__doc__.splitlines()[0], minutes=45, lr=4e-4, generate=True)
    parser.add_argument("--start", type=Path, help="checkpoint to begin with (default: WORK/codes.pt)")
    parser.add_argument(
        "--freeze",
        nargs="+",
        default=[],
        choices=("encoder", "transformer", "gate"),
        help="parts that do not learn: with its encoder as it was, a prior still fits the restorer",
    )
    parser.add_argument("--export", type=Path, help="write the averaged weights here when done")
    options = parser.parse_args()
    start(options)
    tokenizer = load_tokenizer(options.work, options.device)
    net = grown(read_average(options.start or options.work / "codes.pt"))
    net.embedding.requires_grad_(False)
    for part in options.freeze:
        getattr(net, part).requires_grad_(False)
    stage = Stage("restoration", net.to(options.device).to(memory_format=torch.channels_last), options)
    judged = BlindLoss(net, tokenizer, options, stage.step)
    pool = FacePool(options.work)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Batch)
        value, numbers, _, _ = judged(batch)
        return value, numbers

    def make(rng: np.random.Generator, i: int) -> Batch:
        if i % 2:
            return damaged_batch(pool, rng, options.batch, None)
        return damaged_batch(pool, rng, CROPS_PER_FACE * options.batch, CROP)

    batches = prefetch(make, options.seed + 2, stage.step)
    if options.generate:
        drawn = DeviceFaces(load_drawing(options))

        def draw(rng: np.random.Generator, i: int) -> Batch:
            if i % 2:
                return drawn.damaged(rng, options.batch)
            return drawn.damaged(rng, CROPS_PER_FACE * options.batch, CROP)

        batches = in_turn(batches, draw, options.seed + 10, stage.step)
    stage.run(batches, loss)
    if options.export:
        export(stage.average, options.export, fingerprint(tokenizer))
        log.info("wrote %s", options.export)


if __name__ == "__main__":
    main()
