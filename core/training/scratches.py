"""The scratch network: learns where drawn damage lies on pieces of faces and what is around them.

More than half of the pieces are undamaged: hair, glasses and earrings have to be told from scratches. Pieces are worn
as prints and scans are: grey or brown, pale, soft, grainy, compressed. At the end a table says what it finds on people
it was not trained on, and on how many undamaged faces it finds anything.

    python -m resemblance.core.training.scratches --work WORK --minutes 100 --export core/weights/scratches.safetensors
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..faces.scratches import inner_cells, scratches_of
from ..models.scratches import CELL, ScratchNet, places_of
from .damage import Spoil, compressed
from .data import FacePool, prefetch, to_tensor
from .degradation import degrade
from .loop import Stage, arguments, start, write_weights
from .marks import SIDE, mark
from .photographs import read_portraits
from .tables import people
from .wear import wear
from .wears import PRINTS

log = logging.getLogger(__name__)

# Members of parliament are left out: many of their prints are worn, and nobody marked where.
SHARES = {"generated": 0.2, "references": 0.15, "london": 0.12, "portraits": 0.23, "lfw": 0.2, "congress": 0.1}
PIECES = (256, 256, 256, 320)  # px of a face that become a piece
SHIFT = 0.04  # of half a face, that a detector may err by
DAMAGED = 0.45  # of the pieces
VISIBLE, DOUBTFUL = 0.12, 0.05  # change of a pixel from which damage is to be found, and from which it does not matter
BRIGHT = np.array([0.299, 0.587, 0.114], np.float32)
SEPIA = np.array([1, 0.95, 0.85], np.float32)


@dataclass(frozen=True, eq=False)
class Marked:
    """Pieces (N,3,S,S) in [0,1], their edges on their faces (N,4), how much damage changed each pixel (N,1,S,S)."""

    pictures: Tensor
    windows: Tensor
    change: Tensor

    def __len__(self) -> int:
        return len(self.pictures)


class Faces:
    """Undamaged faces of all collections: the arrays, and which of their rows may be trained on."""

    def __init__(self, work: Path) -> None:
        pool = FacePool(work)
        photographs, portraits = read_portraits(work)
        self.arrays = {name: pool.arrays.get(name, photographs) for name in SHARES}
        train = [portrait for portrait in portraits if portrait.split == "train"]
        self.rows = {
            name: pool.rows[name] if name in pool.rows else np.array([p.row for p in train if p.collection == name])
            for name in SHARES
        }

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(512,512,3) uint8."""
        names = [name for name in SHARES if len(self.rows[name])]
        shares = np.array([SHARES[name] for name in names])
        name = names[rng.choice(len(names), p=shares / shares.sum())]
        return self.arrays[name][int(rng.choice(self.rows[name]))]


def piece_of(face: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[float, ...]]:
    """A piece (S,S,3) float32 in [0,1] of a face (512,512,3) uint8, as a print shows it, and its edges on the face."""
    size = int(rng.choice(PIECES))
    top, left = (int(v) for v in rng.integers(0, len(face) - size + 1, 2))
    piece = np.ascontiguousarray(face[top : top + size, left : left + size])
    piece = cv2.resize(piece, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    window = np.array([left, top, left + size, top + size]) / (len(face) / 2) - 1 + rng.uniform(-SHIFT, SHIFT, 4)
    if rng.random() < 0.5:
        piece, window = piece[:, ::-1], window * (-1, 1, -1, 1)
        window = window[[2, 1, 0, 3]]
    kind = rng.random()
    if kind < 0.5:
        piece = (piece @ BRIGHT)[..., None] * (SEPIA if kind < 0.2 else np.ones(3, np.float32))
        if rng.random() < 0.5:
            piece = rng.uniform(0, 0.25) + piece * rng.uniform(0.5, 0.75)
    return np.ascontiguousarray(piece, np.float32), tuple(window)


def scanned(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture (H,W,3) float32 as it is scanned and kept: soft, grainy, compressed, each at times; uint8."""
    if rng.random() < 0.7:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.6))
    if rng.random() < 0.5:
        shape = picture.shape if rng.random() < 0.4 else (*picture.shape[:2], 1)
        picture = picture + rng.standard_normal(shape) * rng.uniform(0.004, 0.05)
    kept = (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return compressed(kept, int(rng.integers(35, 96))) if rng.random() < 0.7 else kept


def marked(faces: Faces, rng: np.random.Generator, count: int) -> Marked:
    """`count` pieces, some of them damaged."""
    pictures, windows, changes = [], [], []
    for _ in range(count):
        piece, window = piece_of(faces.draw(rng), rng)
        damaged = mark(piece, rng) if rng.random() < DAMAGED else piece
        changes.append(np.abs(damaged - piece).max(2))
        pictures.append(scanned(damaged, rng))
        windows.append(window)
    return Marked(to_tensor(pictures), torch.tensor(windows).float(), torch.from_numpy(np.stack(changes))[:, None])


def targets(change: Tensor) -> tuple[Tensor, Tensor]:
    """Cells that are damaged, and cells that count (N,1,S/4,S/4), of how much each pixel was changed."""
    cells = F.max_pool2d(change, CELL)
    damaged = (cells > VISIBLE).float()
    return damaged, 1 - ((cells > DOUBTFUL).float() - damaged)


def loss_of(said: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy, damage twice, and the overlap that is missing (Dice), of logits and of what was changed."""
    damaged, counts = targets(change)
    entropy = F.binary_cross_entropy_with_logits(said, damaged, reduction="none")
    shown = said.sigmoid() * counts
    overlap = (2 * (shown * damaged).sum() + 1) / (shown.sum() + damaged.sum() + 1)
    return (entropy * counts * (1 + damaged)).mean(), 1 - overlap


SPOILS: dict[str, Spoil] = {
    "undamaged": lambda face, rng: face,
    "drawn here": lambda face, rng: _bytes(mark(face.astype(np.float32) / 255, rng)),
    "scratches": lambda face, rng: wear(face, {"scratches": PRINTS["scratches"]}, rng),
    "emulsion": lambda face, rng: wear(face, {"emulsion": PRINTS["emulsion"]}, rng),
    "halftone": lambda face, rng: wear(face, {"halftone": PRINTS["halftone"]}, rng),
    "light": lambda face, rng: degrade(face, "light", rng),
    "moderate": lambda face, rng: degrade(face, "moderate", rng),
    "severe": lambda face, rng: degrade(face, "severe", rng),
}
MARKS = ("drawn here", "scratches", "emulsion")  # of these, that are to be found


def table(net: nn.Module, faces: list[np.ndarray]) -> str:
    """What is found on faces (512,512,3) uint8 that were spoilt, as the product decides, as Markdown.

    *found* is the share of the damaged cells that is called damage, *right* the share of what is called damage that is
    damaged or beside it, *faces* the share of faces on which anything is.
    """
    rows = ["| | found | right | faces |", "|---|---|---|---|"]
    for kind, spoil in SPOILS.items():
        spoilt = [spoil(face, np.random.default_rng(number)) for number, face in enumerate(faces)]
        cells = F.max_pool2d(torch.cat([scratches_of(to_tensor([face]), net) for face in spoilt]), CELL) > 0
        numbers = ["", ""]
        if kind in MARKS:
            pairs = zip(spoilt, faces, strict=True)
            change = torch.stack([(to_tensor([a]) - to_tensor([b])).abs().amax(1) for a, b in pairs])
            damaged = (targets(change)[0] > 0) & inner_cells()
            beside = F.max_pool2d(F.max_pool2d(change, CELL), 3, 1, 1) > DOUBTFUL
            found = float((cells & damaged).sum() / damaged.sum().clamp_min(1))
            right = float((cells & beside).sum() / cells.sum().clamp_min(1))
            numbers = [f"{found:.2f}", f"{right:.2f}"]
        touched = float(cells.flatten(1).any(1).float().mean())
        rows.append("| " + " | ".join([kind, *numbers, f"{touched:.2f}"]) + " |")
    return "\n".join(rows)


def touched(net: nn.Module, work: Path, count: int = 60) -> str:
    """On how many photographs of each collection's validation people, as they are, anything is found, as Markdown."""
    photographs, portraits = read_portraits(work)
    rows = ["| collection | faces | with something found |", "|---|---|---|"]
    for name in dict.fromkeys(portrait.collection for portrait in portraits):
        own = [p.row for p in portraits if p.split == "val" and p.collection == name][:count]
        if own and name != "wild":
            found = [bool(scratches_of(to_tensor([photographs[row]]), net).any()) for row in own]
            rows.append(f"| {name} | {len(own)} | {np.mean(found):.3f} |")
    return "\n".join(rows)


def _bytes(picture: np.ndarray) -> np.ndarray:
    return (picture * 255 + 0.5).astype(np.uint8)


def main() -> None:
    """Train the scratch network, write its weights, and show what it finds on the even half of London's people."""
    parser = arguments(__doc__.splitlines()[0], minutes=100, lr=2e-3)
    parser.add_argument("--export", type=Path, help="write the averaged weights here when done")
    parser.set_defaults(batch=16)
    options = parser.parse_args()
    start(options)
    stage = Stage("scratches", ScratchNet().to(options.device).to(memory_format=torch.channels_last), options)
    faces = Faces(options.work)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Marked)
        pictures, windows, change = (t.to(options.device) for t in (batch.pictures, batch.windows, batch.change))
        entropy, missing = loss_of(stage.module(pictures, places_of(windows, SIDE // CELL)), change)
        return entropy + 0.5 * missing, {"entropy": entropy.item(), "missing": missing.item()}

    stage.run(prefetch(lambda rng, i: marked(faces, rng, options.batch), options.seed + 14, stage.step), loss)
    if options.export:
        write_weights(stage.average, options.export, "resemblance-scratches")
        log.info("wrote %s", options.export)
    net = stage.average.cpu()
    log.info("London's validation people, even half:\n%s", table(net, people(options.work, "even")[0]))
    log.info("Photographs as they are:\n%s", touched(net, options.work))


if __name__ == "__main__":
    main()
