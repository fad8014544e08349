"""The damage network: learns what LPIPS says of a damaged face beside the clean one, from the damaged one alone.

A sixth of the faces is undamaged, a fifth was only compressed, a twelfth only noisy, a sixth is worn; the others are
damaged as for restoration. Portraits of members are left out: many are worn, and all would count as undamaged. At the
end a table shows what it says of people it was not trained on.

    python -m resemblance.core.training.damage --work WORK --minutes 20 --export core/weights/damage.safetensors
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.damage import DamageNet
from .data import Batch, FacePool, prefetch, to_tensor
from .degradation import degrade
from .judges import lpips
from .loop import Stage, arguments, start, write_weights
from .tables import people
from .wear import damage, wear
from .wears import PRINTS

log = logging.getLogger(__name__)

CLEAN, COMPRESSED, NOISY, WORN = 0.16, 0.36, 0.44, 0.6  # where a draw from 0 to 1 is below: what is done to the face
SEVERITY_SHARES = {"light": 0.45, "moderate": 0.4, "severe": 0.15}  # severe damage is seen by anyone
Spoil = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def compressed(face: np.ndarray, quality: int) -> np.ndarray:
    """A face (H,W,3) uint8 RGB as JPEG leaves it."""
    _, data = cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def noisy(face: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """A face (H,W,3) uint8 with white noise of a standard deviation of `level` [of 255]."""
    return np.clip(face + level * rng.standard_normal(face.shape, np.float32) + 0.5, 0, 255).astype(np.uint8)


def spoilt(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A face with the damage that this stage learns from, or none."""
    draw = rng.random()
    if draw < CLEAN:
        return face
    if draw < COMPRESSED:
        return compressed(face, int(rng.integers(3, 96)))
    if draw < NOISY:
        return noisy(face, rng.uniform(1, 50), rng)
    if draw < WORN:
        return wear(face, PRINTS, rng)
    return damage(face, str(rng.choice(list(SEVERITY_SHARES), p=list(SEVERITY_SHARES.values()))), rng)


def drawn(pool: FacePool, rng: np.random.Generator, count: int) -> Batch:
    """`count` faces that are truth at full size, beside what :func:`spoilt` made of them."""
    clean: list[np.ndarray] = []
    while len(clean) < count:
        face, sharp = pool.draw(rng, sharp_only=True)
        if sharp:
            clean.append(face)
    spoiled = [spoilt(face, rng) for face in clean]
    return Batch(to_tensor(clean), to_tensor(spoiled), torch.ones(count, dtype=torch.bool), (0, 0))


SPOILS: dict[str, Spoil] = {
    "undamaged": lambda face, rng: face,
    "JPEG 60": lambda face, rng: compressed(face, 60),
    "JPEG 30": lambda face, rng: compressed(face, 30),
    "JPEG 10": lambda face, rng: compressed(face, 10),
    "noise 10": lambda face, rng: noisy(face, 10, rng),
    "worn print": lambda face, rng: wear(face, PRINTS, rng),
    "light": lambda face, rng: degrade(face, "light", rng),
    "moderate": lambda face, rng: degrade(face, "moderate", rng),
    "severe": lambda face, rng: degrade(face, "severe", rng),
}


@torch.no_grad()
def differences(net: nn.Module, perceived: nn.Module, faces: list[np.ndarray]) -> dict[str, tuple[Tensor, Tensor]]:
    """For each kind of damage what LPIPS says of some faces and what the network does, (N,) each.

    Args:
        net: faces (N,3,512,512) → (N,).
        perceived: LPIPS of two (N,3,512,512).
        faces: N undamaged ones, (512,512,3) uint8.
    """
    found = {}
    for kind, spoil in SPOILS.items():
        pairs = [(to_tensor([spoil(f, np.random.default_rng(n))]), to_tensor([f])) for n, f in enumerate(faces)]
        true = torch.cat([perceived(*pair).flatten() for pair in pairs])
        found[kind] = true, torch.cat([net(bad) for bad, _ in pairs])
    return found


def table(found: dict[str, tuple[Tensor, Tensor]]) -> str:
    """What :func:`differences` found, as Markdown: means, the mean difference, and the largest."""
    rows = ["| | LPIPS | measured | difference | largest |", "|---|---|---|---|---|"]
    for kind, (true, said) in found.items():
        off = (said - true).abs()
        rows.append(f"| {kind} | {true.mean():.3f} | {said.mean():.3f} | {off.mean():.3f} | {off.max():.3f} |")
    return "\n".join(rows)


def main() -> None:
    """Train the damage network, write its weights, and show what it says of the even half of London's people."""
    parser = arguments(__doc__.splitlines()[0], minutes=20, lr=2e-3)
    parser.add_argument("--export", type=Path, help="write the averaged weights here when done")
    options = parser.parse_args()
    start(options)
    stage = Stage("damage", DamageNet().to(options.device).to(memory_format=torch.channels_last), options)
    perceived = lpips("alex", options.assets).to(options.device)
    pool = FacePool(options.work)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Batch)
        bad, clean = batch.damaged.to(options.device), batch.clean.to(options.device)
        with torch.no_grad():
            true = perceived(bad, clean).flatten().float()
        said = stage.module(bad)
        value = F.l1_loss(said, true)
        return value, {"difference": value.item(), "LPIPS": true.mean().item()}

    stage.run(prefetch(lambda rng, i: drawn(pool, rng, options.batch), options.seed + 12, stage.step), loss)
    if options.export:
        write_weights(stage.average, options.export, "resemblance-damage")
        log.info("wrote %s", options.export)
    found = differences(stage.average.cpu(), perceived.cpu(), people(options.work, "even")[0])
    log.info("London's validation people, even half:\n%s", table(found))


if __name__ == "__main__":
    main()
