"""The loop that every stage of training shares: time budget, schedule, averaging, checkpoints, log."""

from __future__ import annotations

import argparse
import copy
import logging
import math
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sized
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..files.checkpoints import fingerprint
from ..restorers.table import BUILTIN, faster_dtype

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120
LOG_SECONDS = 30
WARMUP_STEPS = 100

Trained = TypeVar("Trained", bound=nn.Module)
Loss = Callable[[Any, float], tuple[Tensor, dict[str, float]]]
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


def arguments(description: str, minutes: float, lr: float, generate: bool = False) -> argparse.ArgumentParser:
    """The options that every stage has; with `generate` the one of those that can draw new people as they train."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, required=True, help="folder of faces and checkpoints")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument(
        "--weights",
        type=Path,
        default=BUILTIN.parent,
        help="folder of the weights that the stages before wrote (default: the shipped ones)",
    )
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="time to train, earlier runs of the stage included"
    )
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile what is trained: worth its minutes on a GPU, or in a long run (default: on a GPU)",
    )
    if generate:
        parser.add_argument(
            "--generate",
            action="store_true",
            help="every other batch of new people, drawn on the device: where it is a GPU",
        )
    return parser


class Stage(Generic[Trained]):
    """A module in training, its average and its checkpoint.

    Args:
        name: of the stage; the checkpoint is ``work/name.pt``.
        module: what is trained, on its device.
        options: the parsed :func:`arguments`.
        faster: {child of the module: how many times the rate of the others it learns with}.

    Attributes:
        average: exponential moving average of the module: what later stages and the product use.
        step: batches done.
        seconds: time trained.
    """

    def __init__(
        self, name: str, module: Trained, options: argparse.Namespace, faster: Mapping[str, float] | None = None
    ) -> None:
        self.name, self.module, self.options = name, module, options
        self.path = options.work / f"{name}.pt"
        self.device = torch.device(options.device)
        self.faster = faster_dtype(self.device) == torch.bfloat16  # else it would be emulated
        self.average = copy.deepcopy(module).requires_grad_(False).eval()
        groups: dict[float, list[nn.Parameter]] = defaultdict(list)
        for key, parameter in module.named_parameters():
            if parameter.requires_grad:
                groups[(faster or {}).get(key.split(".")[0], 1.0)].append(parameter)
        self.rates = tuple(groups)
        self.optimizer = torch.optim.AdamW(
            [{"params": group} for group in groups.values()], lr=options.lr, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.step, self.seconds = 0, 0.0
        if self.path.exists():
            saved = torch.load(self.path, weights_only=True, map_location=options.device)
            self.module.load_state_dict(saved["module"])
            self.average.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.seconds = saved["step"], saved["seconds"]
            log.info("%s goes on from step %d, %.1f minutes", name, self.step, self.seconds / 60)
        if self.device.type == "cuda" if options.compile is None else options.compile:
            compile_parts(module)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        fresh = self.path.with_suffix(".tmp")
        state = {"module": self.module.state_dict(), "average": self.average.state_dict(), "step": self.step}
        torch.save(state | {"optimizer": self.optimizer.state_dict(), "seconds": self.seconds}, fresh)
        fresh.replace(self.path)

    def run(self, batches: Iterator[Sized], loss: Loss, after: Callable[[float], None] | None = None) -> None:
        """Train until the time is spent.

        Args:
            batches: endless; the length of one is how many images it holds.
            loss: (batch, part of the time that is spent, 0 to 1) → loss and numbers for the log.
            after: called after every step with the same part.

        Raises:
            FloatingPointError: a gradient is not finite; the module is as it was before.
            SystemExit: interrupted, after the checkpoint was written.
        """
        budget = self.options.minutes * 60
        sums: dict[str, float] = defaultdict(float)
        since, images, saved, logged, last = 0, 0, time.monotonic(), time.monotonic(), time.monotonic()
        try:
            while self.seconds < budget:
                part = self.seconds / budget
                batch = next(batches)
                numbers = self._learn(batch, loss, part)
                since += 1
                images += len(batch)
                for key, number in numbers.items():
                    sums[key] += number
                now = time.monotonic()
                self.seconds, last = self.seconds + now - last, now
                if after:
                    after(part)
                if now - logged > LOG_SECONDS:
                    rates = f"{since / (now - logged):.2f} steps/s, {images / (now - logged):.1f} images/s"
                    text = " ".join(f"{key} {value / since:.4f}" for key, value in sums.items())
                    spent = f"{self.seconds / 60:.1f} min, {rates}{utilisation(self.device)}"
                    log.info("%s %d (%s) %s", self.name, self.step, spent, text)
                    sums, since, images, logged = defaultdict(float), 0, 0, now
                if now - saved > CHECKPOINT_SECONDS:
                    self.save()
                    saved = now
        except KeyboardInterrupt:
            self.save()
            log.info("%s is interrupted at step %d; the same command goes on from %s", self.name, self.step, self.path)
            raise SystemExit(INTERRUPTED) from None
        self.save()

    def _learn(self, batch: Sized, loss: Loss, part: float) -> dict[str, float]:
        """One step of the module and its average; the loss's numbers."""
        warm = min(1, (self.step + 1) / WARMUP_STEPS)
        for group, times in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = times * self.options.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.faster):
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
        return numbers


def compile_parts(module: nn.Module) -> None:
    """Compile a module, or where it has no `forward` of its own the largest parts that have; no name changes."""
    if type(module).forward is not nn.Module.forward:
        module.compile()
    else:
        for part in module.children():
            compile_parts(part)


def utilisation(device: torch.device) -> str:
    """How busy a GPU is, as text for the log; nothing where that cannot be asked."""
    if device.type != "cuda":
        return ""
    try:
        return f", GPU {torch.cuda.utilization(device)}%"
    # Without nvidia-ml-py, or where the GPU is shared; NVML's errors have no common base but Exception.
    except Exception:
        return ""


def start(options: argparse.Namespace) -> None:
    """Logging, threads and seed of a stage's program, which a termination interrupts as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)


def write_weights(net: nn.Module, path: Path, architecture: str, **belongs: str) -> None:
    """Write a network as it ships: in half precision, whole or not at all.

    Args:
        net: the network.
        path: a safetensors file.
        architecture: what it is.
        belongs: what it was trained with, and what else is to be known of it.
    """
    tensors = {name: tensor.detach().half().cpu().contiguous() for name, tensor in net.state_dict().items()}
    fresh = path.with_suffix(".tmp")
    said = {"architecture": architecture, "fingerprint": fingerprint(tensors), **belongs}
    save_file(tensors, fresh, said | {"licence": "see MODEL_CARD.md"})
    fresh.replace(path)


def read_average(checkpoint: Path) -> dict[str, Tensor]:
    """The averaged weights in a stage's checkpoint."""
    return torch.load(checkpoint, weights_only=True, map_location="cpu")["average"]
