import importlib
import importlib.util
from types import SimpleNamespace

import pytest

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training import gates
from resemblance.core.training.gates import Check


@pytest.fixture
def bench(monkeypatch, tmp_path):
    monkeypatch.setattr(gates, "people", lambda work, half: ([half] * 9, ["name"] * 9))
    monkeypatch.setattr(gates.Bench, "restorer", lambda self: SimpleNamespace(network=SimpleNamespace()))
    return gates.Bench(tmp_path, tmp_path, None, limit=4)


def test_checks_read_their_bounds_both_ways():
    assert Check("x", 0.5, 0.5).passed and not Check("x", 0.4, 0.5).passed
    assert Check("x", 0.4, 0.5, at_least=False).passed and not Check("x", 0.6, 0.5, at_least=False).passed
    assert not Check("x", float("nan"), 0.5).passed and not Check("x", float("nan"), 0.5, at_least=False).passed
    assert str(Check("x", 0.61234, 0.5, at_least=False)) == "x 0.612 (wanted: ≤ 0.5)"


@pytest.mark.parametrize(("right", "stranger", "passed"), [(0.1, 0.0, True), (0.03, 0.0, False), (0.1, -0.05, False)])
def test_references_must_help_and_strangers_do_no_harm(monkeypatch, bench, right, stranger, passed):
    class Table:
        def __init__(self, restorer, assets, doubt, embedding):
            pass

        def __call__(self, faces, names, strength, rows):
            assert faces == ["odd"] * 4
            levels = {"none": 0.4, "right": 0.4 + right, "stranger": 0.4 + stranger}
            return {s: {row: {"edgeface": [levels[row]] * 4} for row in rows} for s in gates.SEVERITIES}, {}

    monkeypatch.setattr(gates, "ReferenceTable", Table)
    monkeypatch.setattr(gates, "_with_checkpoint", lambda bench: None)
    checks = gates.references_wrong(bench)
    assert [check.measured for check in checks] == pytest.approx([right, stranger, stranger])
    assert all(check.passed for check in checks) == passed
    assert [check.measured for check in gates.references_right(bench)] == pytest.approx([right])


@pytest.mark.parametrize(
    ("lpips", "edgeface", "passed"),
    [
        ([0.01, -0.01, 0.0], [0.0, 0.01, -0.01], True),
        ([0.02, 0.03, 0.02], [0.0, 0.0, 0.0], False),
        ([-0.02, -0.02, -0.02], [-0.03, -0.02, -0.02], False),
    ],
)
def test_refinement_must_not_be_worse_beyond_noise(monkeypatch, bench, lpips, edgeface, passed):
    class Table:
        def __init__(self, restorer, assets, settings, embedding):
            assert settings == [(0, 0.0), (1, 0.0)]

        def __call__(self, faces, names, candidates, severities):
            none = {"lpips_vgg": [0.3, 0.2, 0.1], "edgeface": [0.5, 0.6, 0.7]}
            pairs = {"lpips_vgg": lpips, "edgeface": edgeface}
            one = {m: [a + b for a, b in zip(none[m], pairs[m], strict=True)] for m in none}
            return {"severe": {"none": {"0 steps": none, "1 steps": one}}}, {}

    monkeypatch.setattr(gates, "RefineTable", Table)
    assert all(check.passed for check in gates.prior(bench)) == passed
