"""The scratch network: learns where a face shows damage in place of itself, from damage that was drawn.

Folds, scratches, specks, tears and lost emulsion are drawn over photographs, old prints among them, which stay as they
are in two batches of five; then some are compressed, shrunk or blurred, as scans are. What it is asked to find is where
drawing changed the picture much. At the end a table shows, for thresholds, what it finds of the damage and what it
takes for damage on faces that have none.

    python -m resemblance.core.training.scratches --work WORK --minutes 40 --export core/weights/scratches.safetensors
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..faces.crop import face_mask
from ..models.scratches import ScratchNet
from .data import FacePool, prefetch, to_tensor
from .degradation import degrade
from .loop import Stage, arguments, start, write_weights
from .photographs import read_portraits
from .tables import people
from .wear import wear
from .wears import emulsion, scratches

log = logging.getLogger(__name__)

DRAWN = {"scratches": scratches, "emulsion": emulsion}
SPOILT = 0.6  # of the faces have damage drawn over them
SCANNED = {"none": 0.4, "light": 0.4, "moderate": 0.2}  # what happens to all of them after it
CHANGED = 0.1  # difference of a colour from which a place counts as damage
CROP = 256  # [px] side of the squares that are learned from
THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, eq=False)
class Worn:
    """Squares (N,3,S,S) in [0,1] and where they are damaged (N,1,S,S), 0 or 1."""

    pixels: Tensor
    damage: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


def worn(face: np.ndarray, rng: np.random.Generator, spoilt: bool) -> tuple[np.ndarray, np.ndarray]:
    """A face (S,S,3) uint8, perhaps with damage drawn over it, as a scan shows it; and where it is damaged (S,S)."""
    before = face
    if spoilt:
        kind = "scratches" if rng.random() < 0.7 else "emulsion"
        face = wear(face, {kind: DRAWN[kind]}, rng)
    damage = np.abs(face.astype(np.int16) - before).max(-1) > CHANGED * 255
    scanned = str(rng.choice(list(SCANNED), p=list(SCANNED.values())))
    return (face if scanned == "none" else degrade(face, scanned, rng)), damage


def drawn(pool: FacePool, rng: np.random.Generator, count: int) -> Worn:
    """`count` squares of faces, each from a place of its own."""
    pixels, places = [], []
    for _ in range(count):
        face, _ = pool.draw(rng, sharp_only=False)
        seen, damage = worn(face, rng, bool(rng.random() < SPOILT))
        row, column = (int(v) for v in rng.integers(0, face.shape[0] - CROP + 1, 2))
        part = (slice(row, row + CROP), slice(column, column + CROP))
        pixels.append(seen[part])
        places.append(damage[part])
    return Worn(to_tensor(pixels), torch.from_numpy(np.stack(places))[:, None].float())


def table(net: nn.Module, faces: Sequence[np.ndarray]) -> str:
    """For thresholds: of what was drawn on some faces the share that is found, of what is found the share that was
    drawn, and the share of the undamaged faces that is taken for damage; on the face, as Markdown."""
    inside = face_mask()[0] > 0.5
    said: dict[bool, list[Tensor]] = {True: [], False: []}
    truth: list[Tensor] = []
    for n, face in enumerate(faces):
        for spoilt in (True, False):
            seen, damage = worn(face, np.random.default_rng((n, 5)), spoilt)
            with torch.inference_mode():
                said[spoilt].append(torch.sigmoid(net(to_tensor([seen])))[0, 0][inside])
            if spoilt:
                truth.append(torch.from_numpy(damage)[inside])
    here, clean, true = torch.cat(said[True]), torch.cat(said[False]), torch.cat(truth)
    rows = ["| threshold | found | right | of undamaged faces |", "|---|---|---|---|"]
    for threshold in THRESHOLDS:
        found = here > threshold
        both = (found & true).sum()
        shares = both / true.sum(), both / found.sum().clamp_min(1), (clean > threshold).float().mean()
        rows.append("| {} | {:.3f} | {:.3f} | {:.5f} |".format(threshold, *(float(x) for x in shares)))
    return "\n".join(rows)


def held_out(work: Path, collection: str, count: int) -> list[np.ndarray]:
    """Photographs of a collection's validation people, spread over it."""
    photographs, portraits = read_portraits(work)
    rows = [p.row for p in portraits if p.collection == collection and p.split == "val"]
    return [np.array(photographs[row]) for row in rows[:: max(1, len(rows) // count)][:count]]


def main() -> None:
    """Train the scratch network, write its weights, and show what it finds on people it was not trained on."""
    parser = arguments(__doc__.splitlines()[0], minutes=40, lr=2e-3)
    parser.add_argument("--export", type=Path, help="write the averaged weights here when done")
    options = parser.parse_args()
    start(options)
    stage = Stage("scratches", ScratchNet().to(options.device).to(memory_format=torch.channels_last), options)
    pool = FacePool(options.work)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Worn)
        damage = batch.damage.to(options.device)
        logits = stage.module(batch.pixels.to(options.device))
        entropy = F.binary_cross_entropy_with_logits(logits, damage)
        share = torch.sigmoid(logits)
        # Most places are undamaged, which entropy alone would be content with.
        overlap = 1 - (2 * (share * damage).sum() + 1) / (share.sum() + damage.sum() + 1)
        numbers = {"entropy": entropy.item(), "overlap": overlap.item(), "damaged": damage.mean().item()}
        return entropy + 0.2 * overlap, numbers

    stage.run(prefetch(lambda rng, i: drawn(pool, rng, options.batch), options.seed + 14, stage.step), loss)
    net = stage.average.cpu()
    if options.export:
        write_weights(net, options.export, "resemblance-scratches")
        log.info("wrote %s", options.export)
    log.info("London's validation people, even half:\n%s", table(net, people(options.work, "even")[0]))
    log.info("portraits of members, held out:\n%s", table(net, held_out(options.work, "members", 24)))


if __name__ == "__main__":
    main()
