"""The examples in docstrings do what they say; they are run where a checkout lies."""

import doctest
import importlib

import pytest
from host_server import ROOT

WITH_EXAMPLES = ("finite", "geometry", "faces.detect", "pipeline", "references.encoding")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(importlib.import_module(f"resemblance.core.{name}"))
    assert result.attempted > 0 and result.failed == 0


def test_no_example_is_forgotten():
    files = [path.relative_to(ROOT / "core") for path in (ROOT / "core").rglob("*.py") if ">>> " in path.read_text()]
    assert {".".join(path.with_suffix("").parts) for path in files} == set(WITH_EXAMPLES)
