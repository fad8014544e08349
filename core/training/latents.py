"""Stage 7: latents of damaged and clean faces, written once, so that the prior trains on them alone.

A sample is planes of 32x32 numbers of 16 bits in one file that only grows: the damaged face's latent, the clean face's
as the tokenizer has it (the second restorer: as it would be drawn), what the references gave at 32 px, and the numbers
of the code words that were looked up.

    python -m resemblance.core.training.latents --work WORK --count 3000
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..faces.identity import WEIGHTS, BuiltinEmbedder
from ..files.checkpoints import read
from ..models.generative import GenerativeNet
from ..models.prior import given_by
from ..models.transfer import TransferNet
from ..restorers.table import TRANSFER, Ours, faster_dtype
from .codes import load_tokenizer
from .data import prefetch
from .flow import encoded, frozen_restorer, photographs
from .loop import arguments, start
from .pairs import PairPool, Trial, trial
from .references import identity_gate_of

log = logging.getLogger(__name__)

SIDE = 32
PLANES = (128, 128, 129, 1)  # degraded, clean, given, codes
SAMPLE = 2 * sum(PLANES) * SIDE * SIDE  # bytes
WRONG = 0.15  # share of references that show somebody else
FILE = "latents.i16"


@dataclass(frozen=True, eq=False)
class Latents:
    """N samples: `degraded` and `clean` (N,128,32,32), `given` (N,129,32,32), all float32, `codes` (N,1024) int64."""

    degraded: Tensor
    clean: Tensor
    given: Tensor
    codes: Tensor

    def __len__(self) -> int:
        return len(self.codes)

    def to(self, device: str) -> Latents:
        """The same on a device."""
        return Latents(*(x.to(device) for x in (self.degraded, self.clean, self.given, self.codes)))


def open_latents(work: Path) -> np.ndarray:
    """All whole samples written so far, (N,386,32,32) int16, read as they are asked for."""
    path = work / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: run 'python -m resemblance.core.training.latents --work {work}' first."
        )
    return np.memmap(path, np.int16, "r", shape=(path.stat().st_size // SAMPLE, sum(PLANES), SIDE, SIDE))


def read_latents(samples: np.ndarray) -> Latents:
    """Some samples of :func:`open_latents`."""
    planes = torch.from_numpy(np.array(samples))
    degraded, clean, given, codes = planes.split(PLANES, 1)
    degraded, clean, given = (x.contiguous().view(torch.bfloat16).float() for x in (degraded, clean, given))
    return Latents(degraded, clean, given, codes.flatten(1).long())


def clean_latents(net: Ours, work: Path, device: str) -> Callable[[Tensor], Tensor]:
    """What makes latents (N,128,32,32) of clean faces (N,3,512,512), where the flow is to end."""
    if isinstance(net, GenerativeNet):
        second = net
        return lambda faces: second.told(faces)[3]
    tokenizer = load_tokenizer(work, device).net
    return lambda faces: tokenizer.encode(faces)[0]


def samples_of(
    net: Ours,
    cleaned: Callable[[Tensor], Tensor],
    transfer: TransferNet,
    embedder: BuiltinEmbedder,
    batch: Trial,
) -> np.ndarray:
    """A batch as samples (N,386,32,32) int16."""
    content, code_latent, skips = encoded(net, batch.damaged)
    identity = embedder.embed(batch.references.flatten(0, 1)).unflatten(0, batch.right.shape)
    seen = photographs(net, batch.references, identity)
    identity_gate = identity_gate_of(embedder, batch.damaged, identity)
    found = transfer.extract_references(content, code_latent, skips, seen, net.embedding, net.encode, identity_gate)
    clean = cleaned(batch.clean)
    codes = net.predict(content).argmax(-1).unflatten(1, (1, SIDE, SIDE))
    numbers = torch.cat([content, clean, given_by(found.reference, content)], 1).bfloat16().view(torch.int16)
    return torch.cat([numbers, codes.to(torch.int16)], 1).cpu().numpy()


def main() -> None:
    """Write latents until there are enough."""
    parser = arguments(__doc__.splitlines()[0], minutes=60, lr=0)
    parser.add_argument("--count", type=int, default=3000)
    parser.set_defaults(batch=4)
    options = parser.parse_args()
    start(options)
    faster = faster_dtype(torch.device(options.device)) == torch.bfloat16  # else it would be emulated
    net = frozen_restorer(options.device, options.weights)
    cleaned = clean_latents(net, options.work, options.device)
    transfer = TransferNet.from_state(read(options.weights / TRANSFER.name)).eval().requires_grad_(False)
    transfer.to(options.device).to(memory_format=torch.channels_last)
    embedder = BuiltinEmbedder(options.weights / WEIGHTS.name, options.device)
    pool = PairPool(options.work)
    path = options.work / FILE
    with path.open("ab") as file:
        # An interrupted run may have left part of a batch.
        whole = file.tell() // SAMPLE // options.batch * options.batch
        file.truncate(whole * SAMPLE)
        begun, done = time.monotonic(), whole
        # Every fourth batch with two references a face.
        trials: Iterator[Any] = prefetch(
            lambda rng, i: trial(pool, rng, options.batch, 2 if i % 4 == 3 else 1, WRONG),
            options.seed + 6,
            whole // options.batch,
        )
        while done < options.count and time.monotonic() - begun < 60 * options.minutes:
            with torch.no_grad(), torch.autocast(options.device, torch.bfloat16, enabled=faster):
                samples = samples_of(net, cleaned, transfer, embedder, next(trials).to(options.device))
            file.write(samples.tobytes())
            file.flush()
            done += len(samples)
            if done // options.batch % 10 == 0:
                log.info("%d samples, %.2f a second", done, (done - whole) / (time.monotonic() - begun))


if __name__ == "__main__":
    main()
