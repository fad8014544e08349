"""The transfer network carried over to another embedding network, without training it again.

Of an embedding it reads one linear layer's output alone, with which style codes are made. So that layer is fitted anew,
by ridge regression over the photographs of the train split: from the new network's embeddings to what the layer made
of the old one's. The old embeddings must have been written while the old network was at hand, as a .safetensors file
with ``embeddings`` (M,D) and ``rows`` (M,) of WORK's photographs.

    python -m resemblance.core.training.restyle --work WORK --before OLD.safetensors --transfer OLD_TRANSFER.safetensors
        --export core/weights/transfer.safetensors
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..faces.identity import WEIGHTS, BuiltinEmbedder
from ..files.checkpoints import about
from ..models.transfer import TransferConfig, TransferNet
from .data import to_tensor
from .photographs import read_portraits
from .references import export

log = logging.getLogger(__name__)

LAYER = "styles.identity"
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # in parts of the mean variance
HELD_OUT = 5  # every fifth photograph chooses the ridge
BATCH = 16


def ridge(x: Tensor, y: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Weight (O,I) and bias (O,) that bring x (M,I) nearest to y (M,O)."""
    mean, wanted = x.mean(0), y.mean(0)
    centred = x - mean
    spread = centred.T @ centred / len(x)
    spread += strength * spread.diagonal().mean() * torch.eye(len(spread), dtype=x.dtype)
    weight = torch.linalg.solve(spread, centred.T @ (y - wanted) / len(x)).T
    return weight, wanted - weight @ mean


def unexplained(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> float:
    """The share of the variance of y (M,O) that a linear map of x (M,I) leaves."""
    return float((x @ weight.T + bias - y).square().sum() / (y - y.mean(0)).square().sum())


def main() -> None:
    """Fit the layer and write the transfer network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder with the aligned photographs")
    parser.add_argument("--before", type=Path, required=True, help="the old network's embeddings")
    parser.add_argument("--transfer", type=Path, required=True, help="the transfer network that reads them")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the new embedding network")
    parser.add_argument("--export", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    before, state = load_file(args.before), {k: v.float() for k, v in load_file(args.transfer).items()}
    faces, portraits = read_portraits(args.work)
    rows = before["rows"].tolist()
    if any(portraits[row].split != "train" for row in rows):
        raise ValueError(f"{args.before} holds photographs that are not of the train split; expected none.")
    old = before["embeddings"].double()
    old = old * old.shape[1] ** 0.5  # as StyleCodes scales them
    wanted = old @ state[f"{LAYER}.weight"].double().T + state[f"{LAYER}.bias"].double()
    embedder = BuiltinEmbedder(args.weights)
    parts = [rows[n : n + BATCH] for n in range(0, len(rows), BATCH)]
    new = torch.cat([embedder.embed(to_tensor([faces[row] for row in part])) for part in parts]).double()
    new = new * new.shape[1] ** 0.5
    out = torch.arange(len(rows)) % HELD_OUT == 0
    left = {s: unexplained(new[out], wanted[out], *ridge(new[~out], wanted[~out], s)) for s in RIDGES}
    log.info("unexplained on photographs held out: %s", {s: round(share, 3) for s, share in left.items()})
    weight, bias = ridge(new, wanted, min(left, key=lambda s: left[s]))
    net = TransferNet(replace(TransferConfig.from_state(state), embedding=new.shape[1])).eval()
    kept = {name: tensor for name, tensor in state.items() if name in net.state_dict()}
    net.load_state_dict(kept | {f"{LAYER}.weight": weight.float(), f"{LAYER}.bias": bias.float()})
    export(net, args.export, about(args.transfer)["restorer"], args.weights)
    log.info("wrote %s", args.export)


if __name__ == "__main__":
    main()
