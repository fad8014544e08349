"""The ladder: its rungs, its gates, and how it goes on; with stubs in place of training."""

import argparse
import importlib
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training import gates, ladder
from resemblance.core.training.gates import Check
from resemblance.core.training.ladder import RUNGS, Ladder, LadderError, Plan, Rung


class Gate:
    """Measures what it is told to."""

    def __init__(self, measured=1.0):
        self.measured, self.asked = measured, 0

    def __call__(self, bench):
        self.asked += 1
        return [Check("beauty", self.measured, 0.5)]


class Programs:
    """Stand in for the programs: write their checkpoint, or break."""

    def __init__(self, work):
        self.work, self.calls, self.broken = work, [], set()

    def __call__(self, program, words):
        self.calls.append((program, words))
        if program in self.broken:
            return 3
        (self.work / f"{program}.pt").touch()
        return 0


def three(*gates):
    first, second, third = gates or (Gate(), Gate(), Gate())
    return (
        Rung("one", "one", 0.25, gate=first, output="one.pt"),
        Rung("two", "two", 0.25, gate=second, output="two.pt", needs=("one",)),
        Rung("three", "three", 0.5, gate=third, output="three.pt", needs=("two",)),
    )


@pytest.fixture
def plan(tmp_path):
    return Plan(tmp_path / "data", tmp_path, tmp_path / "weights", hours=1.0)


def names(run):
    return [program for program, _ in run.calls]


def test_the_shares_add_up_and_rungs_stand_on_rungs_below_them(plan):
    assert sum(rung.share for rung in RUNGS) == pytest.approx(1)
    for i, rung in enumerate(RUNGS):
        assert set(rung.needs) <= {r.name for r in RUNGS[:i]}
        assert bool(rung.output) == rung.trains
    top = RUNGS[-1]
    whole = Ladder(plan)
    below = {r.name for r in RUNGS if whole._stands_on(top, r)}
    # How damaged a face is decides how much of the restored one is shown, and nothing is trained on that.
    assert below == {r.name for r in RUNGS if r.trains} - {top.name, "damage"} | {"calibration"}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
def test_each_program_understands_its_arguments(monkeypatch, tmp_path, rung, device):
    class ParsedError(Exception):
        pass

    parse = argparse.ArgumentParser.parse_args

    def stop(self):
        raise ParsedError(parse(self))

    plan = Plan(tmp_path / "data", tmp_path, tmp_path / "weights", 4.0, assets="assets", device=device, threads=3)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [rung.program, *plan.command(rung)])
    with pytest.raises(ParsedError) as caught:
        importlib.import_module(f"{ladder.__package__}.{rung.program}").main()
    options = caught.value.args[0]
    assert options.work == tmp_path and options.assets == "assets"
    if rung.trains:
        assert (options.device, options.threads, options.weights) == (device, 3, tmp_path / "weights")
        assert getattr(options, "generate", False) == (device == "cuda" and "--generate" in rung.on_gpu)
    exports = [value for key, value in vars(options).items() if key.startswith("export") and value]
    assert all(path.parent == tmp_path / "weights" and path.suffix == ".safetensors" for path in exports)


def test_time_and_people_grow_with_the_hours(plan):
    faces, right, wrong = (
        next(r for r in RUNGS if r.name == n) for n in ("faces", "references-right", "references-wrong")
    )
    assert plan.minutes(right) == pytest.approx(60 * right.share)
    assert plan.minutes(wrong) == pytest.approx(60 * (right.share + wrong.share))  # it goes on where the first ended
    count = int(plan.command(faces)[-1])
    assert int(replace(plan, hours=10.0).command(faces)[-1]) == pytest.approx(10 * count, rel=0.01)
    assert int(replace(plan, hours=0.001).command(faces)[-1]) > 100  # the last hundred are held out


def test_rungs_are_climbed_in_order_and_once(plan):
    run = Programs(plan.work)
    rungs = three()
    Ladder(plan, rungs, run).climb(until="two")
    assert names(run) == ["one", "two"]
    Ladder(plan, rungs, run).climb()
    assert names(run) == ["one", "two", "three"]
    assert [rung.gate.asked for rung in rungs] == [1, 1, 1]
    kept = json.loads((plan.work / "ladder.json").read_text())
    assert kept["two"] == {"minutes": 15.0, "passed": True, "measured": {"beauty": 1.0}}
    Ladder(replace(plan, hours=9.0), rungs, run).climb()  # more time does not move what later rungs were built on
    assert len(run.calls) == 3


def test_a_missed_gate_stops_and_says_why(plan):
    run, rungs = Programs(plan.work), three(Gate(), Gate(0.25), Gate())
    with pytest.raises(LadderError, match=r"'two' missed its gate: beauty 0\.25 \(wanted: ≥ 0\.5\).*--hours.*--go-on"):
        Ladder(plan, rungs, run).climb()
    assert names(run) == ["one", "two"]
    with pytest.raises(LadderError, match="two"):  # again: measured anew, not trained anew
        Ladder(plan, rungs, run).climb()
    assert names(run) == ["one", "two"] and rungs[1].gate.asked == 2
    rungs[1].gate.measured = 0.75
    Ladder(replace(plan, hours=2.0), rungs, run).climb()
    assert names(run) == ["one", "two", "two", "three"]
    assert run.calls[2][1][run.calls[2][1].index("--minutes") + 1] == "30.000"


def test_going_on_climbs_past_missed_gates_and_remembers_them(plan):
    run, rungs = Programs(plan.work), three(Gate(), Gate(float("nan")), Gate())
    Ladder(plan, rungs, run).climb(go_on=True)
    assert names(run) == ["one", "two", "three"]
    assert json.loads((plan.work / "ladder.json").read_text())["two"]["passed"] is False
    Ladder(plan, rungs, run).climb(go_on=True)
    assert len(run.calls) == 3
    with pytest.raises(LadderError, match="two"):
        Ladder(plan, rungs, run).climb()


def test_what_later_rungs_were_built_on_is_not_trained_under_them(plan):
    run, rungs = Programs(plan.work), three(Gate(), Gate(0.0), Gate())
    Ladder(plan, rungs, run).climb(go_on=True)
    with pytest.raises(LadderError, match=r"'two' is to be trained, but three\.pt"):
        Ladder(replace(plan, hours=2.0), rungs, run).climb()
    (plan.work / "three.pt").unlink()
    rungs[1].gate.measured = 1.0
    Ladder(replace(plan, hours=2.0), rungs, run).climb(until="two")
    assert names(run) == ["one", "two", "three", "two"]


def test_a_gate_may_only_report(plan):
    rungs = three(Gate(), Gate(0.0), Gate())
    rungs = (rungs[0], replace(rungs[1], stops=False), rungs[2])
    run = Programs(plan.work)
    for _ in range(2):
        Ladder(plan, rungs, run).climb()
    assert names(run) == ["one", "two", "three"] and rungs[1].gate.asked == 1


def test_a_program_that_fails_stops_the_ladder_and_is_run_again(plan):
    run, rungs = Programs(plan.work), three()
    run.broken = {"two"}
    with pytest.raises(LadderError, match="'two' ended with status 3"):
        Ladder(plan, rungs, run).climb()
    run.broken = set()
    Ladder(plan, rungs, run).climb()
    assert names(run) == ["one", "two", "two", "three"]


def test_a_gate_that_was_interrupted_is_measured_without_training_again(plan):
    def interrupted(bench):
        raise KeyboardInterrupt

    run, rungs = Programs(plan.work), three()
    with pytest.raises(KeyboardInterrupt):
        Ladder(plan, (replace(rungs[0], gate=interrupted), *rungs[1:]), run).climb()
    Ladder(plan, rungs, run).climb()
    assert names(run) == ["one", "two", "three"] and rungs[0].gate.asked == 1


def test_the_status_of_a_program_is_given_back():
    assert ladder.run_program("faces", ["--size", "wide"]) == 2


SLOW = """
import os, time
from pathlib import Path
try:
    Path("pid").write_text(str(os.getpid()))
    Path("pid").rename("started")
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    Path("checkpoint").touch()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
@pytest.mark.parametrize("terminal", [True, False], ids=["from the terminal", "to the ladder alone"])
def test_an_interrupt_waits_for_the_checkpoint(monkeypatch, tmp_path, terminal):
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs/slow.py").write_text(SLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ladder, "__package__", "stubs")
    monkeypatch.setattr(ladder, "GRACE", 30 if terminal else 0.2)
    started = tmp_path / "started"

    def interrupt():
        deadline = time.monotonic() + 30
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        for number in ([int(started.read_text())] if terminal else []) + [os.getpid()]:
            os.kill(number, signal.SIGINT)

    # Where the tests themselves run in the background, interrupts are ignored, and what they start would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            threading.Thread(target=interrupt).start()
            ladder.run_program("slow", [])
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "checkpoint").exists()


@pytest.fixture
def bench(monkeypatch, tmp_path):
    monkeypatch.setattr(gates, "people", lambda work, half: ([half] * 9, ["name"] * 9))
    monkeypatch.setattr(gates.Bench, "restorer", lambda self: SimpleNamespace(network=SimpleNamespace()))
    return gates.Bench(tmp_path, tmp_path, None, limit=4)
