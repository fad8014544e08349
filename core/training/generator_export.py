"""The second restorer as it ships: from a run's shards to one file in half precision.

The linear part of the style head, a third of all numbers, becomes two thin matrices: what it says lies in few
directions, which are found on damaged faces of the train split.

    python -m resemblance.core.training.generator_export --shards FOLDER --work WORK --output restorer.safetensors
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..models.generative import GenerativeNet
from ..models.style_head import StyleHead, coarse
from ..models.styled_decoder import coarse_to_fine
from .data import to_tensor
from .degradation import SEVERITY_SHARES
from .loop import write_weights
from .photographs import read_portraits
from .shards import load_shards
from .wear import damage

log = logging.getLogger(__name__)

RANK = 96
FACES = 768
LEFT_OUT = 4  # every fourth face measures what is lost


def read_shards(folder: Path) -> GenerativeNet:
    """The network that a run on a lent machine wrote."""
    state = load_shards(folder, "net")
    net = GenerativeNet.from_state(state)
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


@torch.no_grad()
def seen_in(net: GenerativeNet, faces: Tensor) -> Tensor:
    """What the style head's linear part sees of damaged faces (N,3,S,S): (N,D)."""
    rows = []
    for face in faces.split(1):
        _, _, _, z, skips = net.told(face)
        rows.append(coarse(net.style.seen(z, coarse_to_fine(skips)[0], 1.0)))
    return torch.cat(rows)


@torch.no_grad()
def thinned(head: StyleHead, seen: Tensor, rank: int = RANK) -> StyleHead:
    """The same head, its linear part of a rank: in the directions in which it says most of rows (N,D)."""
    whole = head.direct
    assert isinstance(whole, nn.Linear)
    said = seen @ whole.weight.T
    _, _, axes = torch.linalg.svd(said - said.mean(0), full_matrices=False)
    axes = axes[:rank]  # (rank, axes)
    thin = StyleHead(replace(head.config, rank=len(axes)))
    state = {name: tensor for name, tensor in head.state_dict().items() if not name.startswith("direct")}
    off = said.mean(0) - (said.mean(0) @ axes.T) @ axes  # what all say, beyond these directions
    state |= {
        "direct.0.weight": axes @ whole.weight,
        "direct.1.weight": axes.T.contiguous(),
        "direct.1.bias": whole.bias + off,
    }
    thin.load_state_dict(state)
    return thin.eval().requires_grad_(False)


def some_faces(work: Path, count: int) -> Tensor:
    """Damaged photographs (N,3,512,512) of the train split."""
    faces, portraits = read_portraits(work)
    rows = [p.row for p in portraits if p.split == "train" and p.collection != "lfw"]
    rng = np.random.default_rng(0)
    severities = rng.choice(list(SEVERITY_SHARES), count, p=list(SEVERITY_SHARES.values()))
    chosen = rng.choice(rows, count, replace=count > len(rows))
    return to_tensor([damage(np.array(faces[r]), str(s), rng) for r, s in zip(chosen, severities, strict=True)])


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, required=True, help="folder that the run wrote")
    parser.add_argument("--work", type=Path, required=True, help="folder with the aligned photographs")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=FACES)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    net = read_shards(args.shards)
    seen = seen_in(net, some_faces(args.work, args.faces))
    out = torch.arange(len(seen)) % LEFT_OUT == 0
    whole = net.style.direct(seen[out])
    thin = thinned(net.style, seen[~out])
    lost = (thin.direct(seen[out]) - whole).square().sum() / (whole - whole.mean(0)).square().sum()
    log.info("rank %d loses %.2f%% of what the linear part says of faces left out", RANK, 100 * float(lost))
    net.style = thinned(net.style, seen)
    write_weights(net, args.output, "resemblance-restorer")
    log.info("wrote %s, %.1f MB", args.output, args.output.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
