"""The loop that every stage of training shares: time budget, schedule, averaging, checkpoints, log."""

from __future__ import annotations

import argparse
import copy
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120
LOG_SECONDS = 30
WARMUP_STEPS = 100

Trained = TypeVar("Trained", bound=nn.Module)
Loss = Callable[[object, float], tuple[Tensor, dict[str, float]]]


def arguments(description: str, minutes: float, lr: float) -> argparse.ArgumentParser:
    """The options that every stage has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, required=True, help="folder of faces and checkpoints")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="time to train, earlier runs of the stage included"
    )
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


class Stage(Generic[Trained]):
    """A module in training, its average and its checkpoint.

    Args:
        name: of the stage; the checkpoint is ``work/name.pt``.
        module: what is trained, on its device.
        options: the parsed :func:`arguments`.

    Attributes:
        average: exponential moving average of the module: what later stages and the product use.
        step: batches done.
        seconds: time trained.
    """

    def __init__(self, name: str, module: Trained, options: argparse.Namespace) -> None:
        self.name, self.module, self.options = name, module, options
        self.path = options.work / f"{name}.pt"
        self.average = copy.deepcopy(module).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            [p for p in module.parameters() if p.requires_grad], lr=options.lr, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.step, self.seconds = 0, 0.0
        if self.path.exists():
            saved = torch.load(self.path, weights_only=True, map_location=options.device)
            self.module.load_state_dict(saved["module"])
            self.average.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.seconds = saved["step"], saved["seconds"]
            log.info("%s goes on from step %d, %.1f minutes", name, self.step, self.seconds / 60)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        fresh = self.path.with_suffix(".tmp")
        state = {"module": self.module.state_dict(), "average": self.average.state_dict(), "step": self.step}
        torch.save(state | {"optimizer": self.optimizer.state_dict(), "seconds": self.seconds}, fresh)
        fresh.replace(self.path)

    def run(self, batches: Iterator, loss: Loss, after: Callable[[float], None] | None = None) -> None:
        """Train until the time is spent.

        Args:
            batches: endless.
            loss: (batch, part of the time that is spent, 0 to 1) → loss and numbers for the log.
            after: called after every step with the same part.
        """
        budget = self.options.minutes * 60
        sums: dict[str, float] = defaultdict(float)
        since, saved, logged, last = 0, time.monotonic(), time.monotonic(), time.monotonic()
        while self.seconds < budget:
            part = self.seconds / budget
            rate = (
                self.options.lr
                * min(1, (self.step + 1) / WARMUP_STEPS)
                * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
            )
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            batch = next(batches)
            with torch.autocast(self.options.device, torch.bfloat16):
                value, numbers = loss(batch, part)
            self.optimizer.zero_grad(set_to_none=True)
            value.backward()
            norm = nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
            if not torch.isfinite(norm):
                raise FloatingPointError(
                    f"{self.name}: the gradient is not finite at step {self.step}; the last checkpoint is {self.path}."
                )
            self.optimizer.step()
            decay = min(0.999, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                for a, p in zip(self.average.state_dict().values(), self.module.state_dict().values(), strict=True):
                    a.lerp_(p, 1 - decay) if a.is_floating_point() else a.copy_(p)
            self.step += 1
            since += 1
            for key, number in numbers.items():
                sums[key] += number
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if after:
                after(part)
            if now - logged > LOG_SECONDS:
                text = " ".join(f"{key} {value / since:.4f}" for key, value in sums.items())
                log.info(
                    "%s %d (%.1f min, %.2f steps/s) %s",
                    self.name,
                    self.step,
                    self.seconds / 60,
                    since / (now - logged),
                    text,
                )
                sums, since, logged = defaultdict(float), 0, now
            if now - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = now
        self.save()


def start(options: argparse.Namespace) -> None:
    """Logging, threads and seed of a stage's program."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)


def read_average(checkpoint: Path) -> dict[str, Tensor]:
    """The averaged weights in a stage's checkpoint."""
    return torch.load(checkpoint, weights_only=True, map_location="cpu")["average"]
