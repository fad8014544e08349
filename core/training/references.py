"""Stage 5: what references give. The restorer is frozen, without references nothing changes; the flow goes on.

First with right references only and the gates open (--wrong 0), until right references help; then with strangers among
them (--wrong 0.25), when the gates learn to close, place by place; of the person as a whole the embedder judges. The
last starts where the first ended.

    python -m resemblance.core.training.references --work WORK --minutes 40
    python -m resemblance.core.training.references --work WORK --minutes 80 --wrong 0.25 --export transfer.safetensors

On a GPU add --generate and a larger --batch: every other batch is then of people drawn on it.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..faces.crop import aligned_crops
from ..faces.evidence import amount, chance
from ..faces.identity import WEIGHTS, BuiltinEmbedder
from ..faces.measure import measure_quality
from ..files.checkpoints import about, read
from ..models.generative import GenerativeNet
from ..models.transfer import ReferenceExtraction, TransferGuide, TransferNet
from ..restorers.table import BUILTIN, Ours, load_restorer
from . import squares
from .components import component_map, parts
from .data import prefetch
from .device_data import DevicePeople, in_turn, load_drawing
from .flow import encoded, frozen_restorer, photographs, place_error, transfer_of
from .judges import Recognizer, lpips
from .loop import Stage, arguments, read_average, start, write_weights
from .pairs import PLACES, POINTS, PairPool, Trial, trial
from .restoration import pixel_loss, shifted

log = logging.getLogger(__name__)

PIXEL, PERCEIVED, PARTS, IDENTITY, ECHO, FOUND, GATE = 1.0, 1.0, 0.5, 1.0, 1.0, 0.02, 0.05
FINDING = ("correspondence", "extract", "distribute", "words", "gate")  # parts that say what lies where
NUMBERS = (1, 2, 1, 3, 1)  # of references, batch after batch
EVERY = 4  # batch is of whole faces, where squares can be drawn alone: only these tell who it is
COMPONENTS = 2.0  # of the mean difference at eyes, nose and mouth


def export(transfer: nn.Module, path: Path, restorer: str, embedder: Path) -> None:
    """Write the tensors in half precision, with the fingerprints of the restorer and the embedder they belong to."""
    write_weights(transfer, path, "resemblance-transfer", restorer=restorer, embedder=about(embedder)["fingerprint"])


def begin(transfer: TransferNet, state: Mapping[str, Tensor]) -> None:
    """Give a network what finds places in another, which may have been made for another restorer."""
    found = {name: tensor.float() for name, tensor in state.items() if name.split(".")[0] in FINDING}
    transfer.load_state_dict(transfer.state_dict() | found)


def guided(
    net: Ours, transfer: TransferNet, batch: Trial, embedder: BuiltinEmbedder, doubt: bool
) -> tuple[Tensor, ReferenceExtraction]:
    """The restored faces or their squares, and what was found; with `doubt` as much as it is sure of the person."""
    content, code_latent, skips = encoded(net, batch.damaged)
    identity = embedder.embed(batch.references.flatten(0, 1)).unflatten(0, batch.right.shape)
    seen = photographs(net, batch.references, identity)
    identity_gate = identity_gate_of(embedder, batch.damaged, identity) if doubt else None
    found = transfer.extract_references(
        content, code_latent, skips, seen, net.embedding, net.encode, identity_gate, echo=True
    )
    guide = TransferGuide(transfer, found.reference)
    if batch.square is None:
        return net.decode(content, code_latent, skips, guide=guide), found
    assert isinstance(net, GenerativeNet)
    return squares.decoded(net, content, code_latent, skips, guide, batch.square), found


def identity_gate_of(embedder: BuiltinEmbedder, faces: Tensor, references: Tensor) -> Tensor:
    """How far (N,) to trust that damaged faces (N,3,512,512) show whom their references do, embedded (N,R,D)."""
    cosines = (embedder.embed(faces) * F.normalize(references.sum(1), dim=-1)).sum(-1, keepdim=True)
    measured = measure_quality(aligned_crops(faces.float()))
    evidence = embedder.calibration.evidence(cosines, measured, [references.shape[1]])[:, 0]
    return evidence.new_tensor([amount(chance(e)) for e in evidence.tolist()])


def drawn(people: DevicePeople, rng: np.random.Generator, count: int) -> Trial:
    """A batch of people who were never seen before, made on the device; what is where in it is not known."""
    batch = people.batch(rng, count)
    unknown = batch.clean.new_full((*batch.wrong.shape, POINTS, 2), float("nan"))
    sharp = torch.ones(count, dtype=torch.bool, device=batch.clean.device)
    return Trial(batch.clean, batch.damaged, batch.references, ~batch.wrong, sharp, unknown, unknown)


class GuidedLoss:
    """What restoring with references should have done, for whole faces or squares of them.

    Args:
        net: the restorer.
        transfer: in training.
        options: see :func:`.loop.arguments`.
        wrong: whether there are strangers among the references, so that gates learn to close.
    """

    def __init__(self, net: Ours, transfer: TransferNet, options: argparse.Namespace, wrong: bool) -> None:
        self.net, self.transfer, self.device, self.wrong = net, transfer, options.device, wrong
        self.identity = IDENTITY * (EVERY if isinstance(net, GenerativeNet) else 1)
        self.perceptual = lpips("alex", options.assets).to(options.device)
        self.recognizer = Recognizer("arcface", options.assets).to(options.device)
        self.embedder = BuiltinEmbedder(options.weights / WEIGHTS.name, options.device)
        self.components = component_map(512).to(options.device)
        self.chance = np.random.default_rng(options.seed)

    def __call__(self, batch: Trial) -> tuple[Tensor, dict[str, float], Tensor, Tensor]:
        """The loss, numbers for the log, what was restored and the same of the clean faces, on the device."""
        batch = batch.to(self.device)
        y, found = guided(self.net, self.transfer, batch, self.embedder, doubt=self.wrong)
        if batch.square is None:
            clean = batch.clean
            drawn, numbers = self._whole(y, clean, batch.sharp)
        else:
            clean = squares.cut(batch.clean, batch.square, PLACES)
            drawn, numbers = self._square(squares.within(y), squares.within(clean))
        places = place_error(found.matches.flow, batch.here, batch.there, batch.right)
        echo = torch.stack(
            [F.l1_loss(e, F.adaptive_avg_pool2d(batch.clean, side)) for side, e in found.echoes.items()]
        ).mean()
        value = drawn + FOUND * places + ECHO * echo
        numbers |= {"places": places, "echo": echo}
        if self.wrong:
            right = batch.right.float().mean(1)
            gate = found.reference.gates[32].float()
            closing = ((1 - right) * gate.mean((1, 2, 3))).mean()
            value = value + GATE * closing
            numbers |= {"gate_wrong": closing / (1 - right).mean().clamp_min(0.1)}
        numbers["gate"] = found.reference.gates[32].float().mean()
        return value, {key: float(number.detach()) for key, number in numbers.items()}, y, clean

    def _square(self, y: Tensor, clean: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        # Another photograph's skin never lies pixel on pixel: at full size the difference would ask for none of it.
        pixel = pixel_loss(y, clean, torch.zeros(len(y), dtype=torch.bool))
        perceived = self.perceptual(*shifted(self.chance, y.clamp(0, 1), clean)).mean()
        return PIXEL * pixel + PERCEIVED * perceived, {
            "pixel_square": pixel,
            "lpips_square": perceived,
        }

    def _whole(self, y: Tensor, clean: Tensor, sharp: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        pixel = pixel_loss(y, clean, sharp)
        features = ((y - clean).abs() * self.components).mean() / self.components.mean()
        shown, truth = F.avg_pool2d(y.clamp(0, 1), 2), F.avg_pool2d(clean, 2)
        perceived = self.perceptual(shown, truth).mean()
        finest = self._at_parts(y.clamp(0, 1), clean, sharp)
        identity = 1 - (self.recognizer(shown) * self.recognizer(truth).detach()).sum(1).mean()
        value = PIXEL * (pixel + COMPONENTS * features) + PERCEIVED * perceived + self.identity * identity
        numbers = {"pixel": pixel, "lpips": perceived, "parts": finest, "identity": identity}
        return value + PARTS * finest, numbers

    def _at_parts(self, y: Tensor, clean: Tensor, sharp: Tensor) -> Tensor:
        """How eyes and mouth look at full size, where the truth is sharp: there references have most to give."""
        if not sharp.any():
            return y.new_zeros(())
        return self.perceptual(parts(y[sharp]), parts(clean[sharp])).mean()


def main() -> None:
    """Train the transfer network and write its weights."""
    parser = arguments(__doc__.splitlines()[0], minutes=60, lr=4e-4, generate=True)
    parser.add_argument("--wrong", type=float, default=0.0, help="share of references that show somebody else")
    parser.add_argument(
        "--start",
        type=Path,
        help="a transfer network to begin with: another restorer's will do (default: WORK/flow.pt)",
    )
    parser.add_argument(
        "--fuse",
        action="store_true",
        help="only what fuses learns: what finds places was trained before, with another restorer",
    )
    parser.add_argument("--export", type=Path, help="write the averaged weights here when done")
    options = parser.parse_args()
    start(options)
    net = frozen_restorer(options.device, options.weights)
    transfer = transfer_of(net)
    begin(transfer, read(options.start) if options.start else read_average(options.work / "flow.pt"))
    if options.fuse:
        for name in FINDING:
            transfer.get_submodule(name).requires_grad_(name == "gate")
    stage = Stage(
        "references", transfer.to(options.device).to(memory_format=torch.channels_last), options, {"gate": 0.3}
    )
    judged = GuidedLoss(net, transfer, options, options.wrong > 0)
    pool = PairPool(options.work)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Trial)
        value, numbers, _, _ = judged(batch)
        return value, numbers

    def make(rng: np.random.Generator, i: int) -> Trial:
        parts = isinstance(net, GenerativeNet)
        square = parts and i % EVERY != EVERY - 1
        count = max(1, options.batch // 2) if parts and not square else options.batch
        return trial(pool, rng, count, NUMBERS[i % len(NUMBERS)], options.wrong, square)

    batches = prefetch(make, options.seed + 5, stage.step)
    if options.generate:
        people = DevicePeople(load_drawing(options), judged.recognizer, wrong=options.wrong)
        batches = in_turn(batches, lambda rng, i: drawn(people, rng, options.batch), options.seed + 6, stage.step)
    stage.run(batches, loss)
    if options.export:
        restorer = load_restorer(options.weights / BUILTIN.name).fingerprint
        export(stage.average, options.export, restorer, options.weights / WEIGHTS.name)
        log.info("wrote %s", options.export)


if __name__ == "__main__":
    main()
