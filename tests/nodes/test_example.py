import os
from pathlib import Path

import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["woman", "man", "two people", "woman, ruined", "man, ruined"])
def test_examples_are_what_they_say(run, name):
    damaged, truth, first, second, third = run("ExamplePhoto", name=name).args
    assert damaged.shape == truth.shape and damaged.dtype == torch.float32 and len(damaged) == 1
    assert (0.03 if name.endswith("ruined") else 0.01) < (damaged - truth).abs().mean() < 0.15
    assert first.shape == second.shape and not torch.equal(first, second)
    faces = [len(run("DetectFaces", image=image, detector="built-in")[0]) for image in (truth, first, second, third)]
    assert faces == ([2, 1, 1, 2] if name == "two people" else [1, 1, 1, 1])


def test_a_photograph_of_ones_own_takes_the_place_of_the_damaged_one(run, nodes, comfy, tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.folder_paths, "input_directory", str(tmp_path))
    Image.new("RGB", (64, 48), (200, 100, 0)).save(tmp_path / "mine.png")
    (tmp_path / "notes.txt").write_text("no picture")
    node = nodes["ResemblanceExamplePhoto"]
    own = next(entry for entry in node.define_schema().inputs if entry.id == "own")
    assert own.options == ["", "mine.png"]
    example, mine = (run("ExamplePhoto", name="man", own=name).args for name in own.options)
    assert mine[0].shape == (1, 48, 64, 3) and torch.allclose(mine[0][0, 0, 0] * 255, torch.tensor([200.0, 100, 0]))
    assert all(map(torch.equal, mine[1:], example[1:]))
    before = node.fingerprint_inputs("man", "mine.png")
    os.utime(tmp_path / "mine.png", (1, 1))
    assert before != node.fingerprint_inputs("man", "mine.png") != node.fingerprint_inputs("man")
    with pytest.raises(OSError, match=r"gone\.png"):
        run("ExamplePhoto", name="man", own="gone.png")


def test_the_examples_are_small():
    assert sum(path.stat().st_size for path in (ROOT / "nodes/examples").iterdir()) < 950_000
