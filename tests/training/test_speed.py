"""The speed probe, on a CPU with small networks."""

import json
import sys

import pytest
import torch
from resemblance.core.training import speed
from torch.utils.flop_counter import FlopCounterMode


@pytest.fixture
def probe(monkeypatch, tmp_path):
    """Runs the program with some options; what it wrote."""
    for name, value in {"WARMUP": 0, "LEAST_RUNS": 1, "ROW_SECONDS": 0.0, "REFERENCES": (1,)}.items():
        monkeypatch.setattr(speed, name, value)

    def run(*options: str):
        path = tmp_path / "speed.json"
        monkeypatch.setattr(sys, "argv", ["speed", "--output", str(path), "--device", "cpu", "--tiny", *options])
        speed.main()
        return json.loads(path.read_text())

    yield run
    torch.compiler.reset()


def test_every_row_is_measured(probe):
    written = probe("--batches", "1", "2", "--seconds", "600")
    assert written["device"] == "cpu" and written["torch"] == torch.__version__
    rows = written["rows"]
    assert [(row["name"], row["batch"], row["compiled"]) for row in rows] == [
        ("codeformer", 1, False),
        ("second", 1, False),
        ("second", 2, False),
        ("first", 1, False),
        ("first", 2, False),
        ("first, 1 reference", 1, False),
        ("second", 1, True),
        ("first", 1, True),
    ]
    assert [row["dtype"] for row in rows] == ["float32"] + ["bfloat16"] * 7
    for row in rows:
        assert row["faces_per_second"] > 0 and row["gflop"] > 0
        share = row["gflop"] * row["faces_per_second"] / written["peak_gflop_per_second"]
        assert row["share_of_peak"] == pytest.approx(share)
        assert (row["compile_seconds"] > 0) == row["compiled"]
    gflop = {(row["name"], row["compiled"]): row["gflop"] for row in rows}
    assert gflop["second", True] == gflop["second", False]  # counted before it is compiled
    assert gflop["first, 1 reference", False] > gflop["first", False]


def test_what_matters_most_comes_first():
    names = [f"{plan.name} {plan.batch}{' compiled' * plan.compiled}" for plan in speed.plans([1, 16, 64])]
    expected = """codeformer 1; second 1; second 16; second 64; first 1; first 16; first 64; first, 1 reference 1;
        first, 3 references 1; second 1 compiled; second 16 compiled; first 1 compiled; first 16 compiled"""
    assert names == [name.strip() for name in expected.split(";")]


def test_without_time_there_are_no_rows(probe):
    assert probe("--batches", "1", "--seconds", "0")["rows"] == []


def test_with_little_time_nothing_is_compiled(probe, monkeypatch):
    monkeypatch.setattr(speed, "COMPILE_SECONDS", 1e9)
    monkeypatch.setattr(speed, "REFERENCES", ())
    rows = probe("--batches", "1", "--seconds", "600")["rows"]
    assert [row["name"] for row in rows] == ["codeformer", "second", "first"]


def test_what_finds_no_memory_is_left_out(probe, monkeypatch, caplog):
    def measure(plan, *others):
        if plan.batch == 2:
            raise RuntimeError("CUDA out of memory.\nTried to allocate")
        numbers = ("faces_per_second", "gflop", "share_of_peak", "compile_seconds")
        how = {"name": plan.name, "dtype": "", "batch": plan.batch, "compiled": plan.compiled}
        return how | dict.fromkeys(numbers, 1.0)

    monkeypatch.setattr(speed, "measure", measure)
    rows = probe("--batches", "1", "2", "--seconds", "600")["rows"]
    assert len(rows) == 6 and all(row["batch"] == 1 for row in rows)
    assert "second at batch 2 is left out: CUDA out of memory." in caplog.text


def test_the_published_codeformer_has_its_size():
    """One convolution of the real network is counted as it should be; all of it would take long here."""
    net = speed.build(speed.Plan("codeformer", torch.float32, 1), torch.device("cpu"), tiny=False)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net.encoder.blocks[0](torch.rand(1, 3, 512, 512))
    assert counter.get_total_flops() == 2 * 512**2 * 9 * 3 * 64


def test_nothing_starts_at_zero():
    """A GPU takes less power to multiply zeros, and is then faster than it will be."""
    for plan in speed.plans([1]):
        net = speed.build(plan, torch.device("cpu"), tiny=True)
        assert all(parameter.any() for parameter in net.parameters())
