from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["woman", "man", "two people"])
def test_examples_are_what_they_say(run, name):
    damaged, truth, first, second, third = run("ExamplePhoto", name=name).args
    assert damaged.shape == truth.shape and damaged.dtype == torch.float32 and len(damaged) == 1
    assert 0.01 < (damaged - truth).abs().mean() < 0.15
    assert first.shape == second.shape and not torch.equal(first, second)
    faces = [len(run("DetectFaces", image=image, detector="builtin")[0]) for image in (truth, first, second, third)]
    assert faces == ([2, 1, 1, 2] if name == "two people" else [1, 1, 1, 1])


def test_the_examples_are_small():
    assert sum(path.stat().st_size for path in (ROOT / "nodes/examples").iterdir()) < 900_000
