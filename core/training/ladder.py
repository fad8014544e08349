"""The whole ladder: every stage of training in its order, with a gate behind each.

    python -m resemblance.core.training.ladder --data DATA --work WORK --hours 4

A rung is one of the programs beside this one, which anyone can run alone; the command is logged. All weights are
written to one folder (``--export``), where later stages read them: nothing that ships is touched until its files are
copied. The time is shared out among the rungs; what gates take comes on top of it. Run again, the same command goes on
where it was stopped: stages from their checkpoints, the ladder from ``WORK/ladder.json``, which has the numbers of all
gates. A rung that passed is left alone, whatever the time given later: what follows was built on it. The detector is
trained apart from all this, by :mod:`.detector`.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..faces.identity import WEIGHTS
from ..faces.measure import WEIGHTS as DAMAGE
from ..restorers.table import BUILTIN, PRIOR, TRANSFER
from . import gates
from .data import HELD_OUT
from .gates import Bench, Check
from .loop import INTERRUPTED

log = logging.getLogger(__name__)

FACES_A_MINUTE = 240  # that two cores draw; their other photographs take almost three times as long
LEAST_FACES = HELD_OUT + 50
LATENTS = 12_000  # samples at most: nine GB
GRACE = 5.0  # seconds in which an interrupted program has to have heard of it from the terminal

Run = Callable[[str, list[str]], int]


@dataclass(frozen=True)
class Rung:
    """A step of the ladder.

    Attributes:
        name: of the rung.
        program: module beside this one.
        share: of all time. A rung that goes on with the checkpoint of one before gets its share on top of that one's.
        arguments: of the program, besides those that all have; ``{data}``, ``{weights}`` and ``{count}`` (of people)
            are filled in.
        gate: measures what was reached; None where nothing can be missed.
        output: a training's checkpoint, or what else a later rung is built on, in WORK.
        needs: the rungs it is built on, those that they need left out.
        trains: whether the program has the options of :func:`.loop.arguments`.
        on_gpu: further arguments where the device is a GPU.
        stops: whether a missed gate ends the climb.
    """

    name: str
    program: str
    share: float
    arguments: tuple[str, ...] = ()
    gate: Callable[[Bench], list[Check]] | None = None
    output: str = ""
    needs: tuple[str, ...] = ()
    trains: bool = True
    on_gpu: tuple[str, ...] = ()
    stops: bool = True


def _into(*weights: Path, option: str = "--export") -> tuple[str, ...]:
    return tuple(part for path in weights for part in (option, f"{{weights}}/{path.name}"))


PEOPLE = ("--count", "{count}")
RUNGS = (
    Rung("faces", "faces", 0.03, PEOPLE, trains=False),
    Rung("photographs", "photographs", 0.02, ("--data", "{data}"), trains=False),
    Rung("people", "people", 0.07, PEOPLE, trains=False),
    Rung("landmarks", "landmarks", 0.02, trains=False),
    Rung("tokenizer", "tokenizer", 0.09, (), gates.tokenizer, "tokenizer.pt", on_gpu=("--generate", "--batch", "32")),
    Rung("codes", "codes", 0.06, (), gates.codes, "codes.pt", ("tokenizer",), on_gpu=("--generate", "--batch", "32")),
    Rung(
        "restoration",
        "restoration",
        0.20,
        _into(BUILTIN),
        gates.restoration,
        "restoration.pt",
        ("codes",),
        on_gpu=("--generate", "--batch", "16"),
    ),
    Rung("damage", "damage", 0.03, _into(DAMAGE), gates.damage, "damage.pt", on_gpu=("--batch", "64")),
    Rung("embedding", "embedding", 0.10, (), gates.embedding, "embedding.pt", on_gpu=("--batch", "128")),
    Rung("calibration", "calibration", 0.01, _into(WEIGHTS), needs=("embedding",), trains=False),
    Rung("flow", "flow", 0.04, (), gates.flow, "flow.pt", ("restoration",), on_gpu=("--batch", "32")),
    Rung(
        "references-right",
        "references",
        0.10,
        (),
        gates.references_right,
        "references.pt",
        ("flow", "calibration"),
        on_gpu=("--generate", "--batch", "16"),
    ),
    Rung(
        "references-wrong",
        "references",
        0.08,
        ("--wrong", "0.25", *_into(TRANSFER)),
        gates.references_wrong,
        "references.pt",
        ("references-right",),
        on_gpu=("--generate", "--batch", "16"),
    ),
    # Before the prior, which belongs to the very restorer that it was trained on.
    Rung(
        "joint",
        "joint",
        0.07,
        (*_into(BUILTIN, option="--export-restorer"), *_into(TRANSFER, option="--export-transfer")),
        gates.joint,
        "joint.pt",
        ("references-wrong",),
        on_gpu=("--batch", "8"),
    ),
    Rung(
        "latents",
        "latents",
        0.03,
        ("--count", str(LATENTS)),
        output="latents.i16",
        needs=("joint",),
        on_gpu=("--batch", "16"),
    ),
    # Refinement is off unless asked for, so the ladder goes on without it.
    Rung("prior", "prior", 0.04, _into(PRIOR), gates.prior, "prior.pt", ("latents",), stops=False),
    Rung("mask", "mask", 0.01, _into(PRIOR), None, "mask.pt", ("prior",), on_gpu=("--batch", "8")),
)


class LadderError(RuntimeError):
    """The climb ends here; the text says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """How the ladder is climbed.

    Attributes:
        data: folder with ``manifest.csv``, see :mod:`.photographs`.
        work: folder of faces, checkpoints and ``ladder.json``.
        weights: folder of the weights.
        hours: for all rungs together.
        assets, device, threads: as :func:`.loop.arguments` has them; threads None leaves them to PyTorch.
        limit: faces that gates look at; None is all.
    """

    data: Path
    work: Path
    weights: Path
    hours: float
    assets: str | None = None
    device: str = "cpu"
    threads: int | None = None
    limit: int | None = None

    def minutes(self, rung: Rung, rungs: Sequence[Rung] = RUNGS) -> float:
        """Until which a rung trains, what rungs before gave the same checkpoint included."""
        before = rungs[: rungs.index(rung)]
        same = [r for r in before if rung.output and r.output == rung.output]
        return 60 * self.hours * sum(r.share for r in (*same, rung))

    def command(self, rung: Rung, rungs: Sequence[Rung] = RUNGS) -> list[str]:
        """The arguments of a rung's program."""
        faces = next((self.minutes(r, rungs) for r in rungs if r.program == "faces"), 0)
        count = max(LEAST_FACES, round(FACES_A_MINUTE * faces))
        words = ["--work", str(self.work)] + (["--assets", self.assets] if self.assets else [])
        if rung.trains:
            words += ["--weights", str(self.weights), "--device", self.device]
            words += ["--minutes", f"{self.minutes(rung, rungs):.3f}"]
            words += ["--threads", str(self.threads)] if self.threads else []
            words += rung.on_gpu if torch.device(self.device).type == "cuda" else ()
        return words + [word.format(data=self.data, weights=self.weights, count=count) for word in rung.arguments]


class Ladder:
    """The rungs, and what is known of those already climbed.

    Args:
        plan: how.
        rungs: in their order.
        run: runs a program with arguments and returns its exit status.
    """

    def __init__(self, plan: Plan, rungs: Sequence[Rung] = RUNGS, run: Run | None = None) -> None:
        self.plan, self.rungs, self.run = plan, rungs, run or run_program
        self.bench = Bench(plan.work, plan.weights, plan.assets, plan.limit)
        self.path = plan.work / "ladder.json"
        self.records: dict[str, dict[str, Any]] = json.loads(self.path.read_text()) if self.path.is_file() else {}

    def climb(self, until: str | None = None, go_on: bool = False) -> None:
        """Climb from where the ladder stands.

        Args:
            until: the last rung; None is the top.
            go_on: also past missed gates.

        Raises:
            LadderError: a program failed, or a gate was missed.
        """
        for rung in self.rungs:
            record = self.records.get(rung.name, {})
            known = record.get("passed")
            if known or (known is False and (go_on or not rung.stops)):
                log.info("| %s | %s before |", rung.name, "passed" if known else "missed")
            else:
                self._climb(rung, record, go_on)
            if rung.name == until:
                return

    def _climb(self, rung: Rung, record: dict[str, Any], go_on: bool) -> None:
        minutes = self.plan.minutes(rung, self.rungs)
        if record.get("minutes", -1.0) < minutes:
            self._refuse_stale(rung)
            words = self.plan.command(rung, self.rungs)
            log.info("%s: python -m %s.%s %s", rung.name, __package__, rung.program, shlex.join(words))
            status = self.run(rung.program, words)
            if status:
                raise LadderError(
                    f"The rung '{rung.name}' ended with status {status}: see what {rung.program} said above. When that "
                    "is mended, the same command goes on from here."
                )
            self._remember(rung, {"minutes": minutes})
        checks = rung.gate(self.bench) if rung.gate else []
        passed = all(check.passed for check in checks)
        numbers = {check.what: check.measured for check in checks}
        self._remember(rung, {"minutes": minutes, "passed": passed, "measured": numbers})
        said = "; ".join(map(str, checks)) or "no gate"
        log.info("| %s | %.1f min | %s | %s |", rung.name, minutes, said, "passed" if passed else "missed")
        if not passed and rung.stops and not go_on:
            missed = "; ".join(str(check) for check in checks if not check.passed)
            raise LadderError(
                f"The rung '{rung.name}' missed its gate: {missed}. Give the ladder more --hours (the rung trains on "
                f"from {self.plan.work / rung.output}), look for the cause in the log of {rung.program}, or pass "
                "--go-on to build on it all the same."
            )

    def _refuse_stale(self, rung: Rung) -> None:
        """What was built on a rung would silently not fit once that trains on."""
        built = {r.output for r in self.rungs if self._stands_on(r, rung) and r.output not in ("", rung.output)}
        stale = sorted(name for name in built if (self.plan.work / name).exists())
        if stale:
            raise LadderError(
                f"The rung '{rung.name}' is to be trained, but {', '.join(stale)} in {self.plan.work} were built on "
                "what it was before. Move them away, or begin in another --work."
            )

    def _stands_on(self, rung: Rung, other: Rung) -> bool:
        needed = [r for r in self.rungs if r.name in rung.needs]
        return other in needed or any(self._stands_on(r, other) for r in needed)

    def _remember(self, rung: Rung, record: dict[str, Any]) -> None:
        self.records[rung.name] = record
        fresh = self.path.with_suffix(".tmp")
        fresh.write_text(json.dumps(self.records, indent=1))
        fresh.replace(self.path)


def run_program(program: str, words: list[str]) -> int:
    """Run a module beside this one to its end and return its exit status; an interrupt waits for its checkpoint."""
    command = [sys.executable, "-m", f"{__package__}.{program}", *words]
    process = subprocess.Popen(command)  # noqa: S603 (a program of this package)
    try:
        return process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:  # the signal came to this process alone
            process.send_signal(signal.SIGINT)
            process.wait()
        raise


def main() -> None:
    """Climb the ladder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs with manifest.csv")
    parser.add_argument("--work", type=Path, required=True, help="folder of faces and checkpoints")
    parser.add_argument("--hours", type=float, default=4.0, help="for all stages together")
    parser.add_argument("--until", choices=[rung.name for rung in RUNGS], help="the last rung to climb")
    parser.add_argument("--go-on", action="store_true", help="also past missed gates")
    parser.add_argument(
        "--export", type=Path, help="folder for the weights, which later stages read there (default: WORK/weights)"
    )
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--limit", type=int, help="only so many faces at the gates: a rehearsal")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.threads:
        torch.set_num_threads(args.threads)
    weights = args.export or args.work / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    plan = Plan(args.data, args.work, weights, args.hours, args.assets, args.device, args.threads, args.limit)
    try:
        Ladder(plan).climb(args.until, args.go_on)
    except LadderError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        log.info("Interrupted. The same command goes on from here.")
        raise SystemExit(INTERRUPTED) from None
    log.info("The weights are in %s. To ship them, copy them to %s.", weights, BUILTIN.parent)


if __name__ == "__main__":
    main()
