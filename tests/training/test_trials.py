import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.geometry import template
from resemblance.core.training import trials


def test_trials_are_kept_and_read_back(tmp_path: Path, monkeypatch):
    face = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    people = [
        trials.Portrait(0, "lfw/0_0.jpg", "lfw-0", "val", 1.0),
        trials.Portrait(1, "lfw/0_1.jpg", "lfw-0", "val", 1.0),
    ]
    monkeypatch.setattr(trials, "read_portraits", lambda work: (np.stack([face, face[::-1]]), people))
    made = trials.read_trials(tmp_path, "lfw")
    monkeypatch.setattr(trials, "_make", None)
    again = trials.read_trials(tmp_path, "lfw")
    assert len(again) == 2 and again.quality == made.quality
    assert torch.equal(again.damaged["severe"], made.damaged["severe"])
    assert made.quality["small"][0].size < 20 < made.quality["clean"][0].size
    # The same photograph is damaged the same way, and differently from the other one.
    assert torch.equal(trials.cut_out(face, "severe", 3).pixels, trials.cut_out(face, "severe", 3).pixels)
    assert not torch.equal(trials.cut_out(face, "severe", 3).pixels, trials.cut_out(face, "severe", 4).pixels)


def test_landmarks_are_set_off_by_as_much_as_said():
    offs = []
    for seed in range(40):
        crops = trials.cut_out(np.zeros((512, 512, 3), np.uint8), "clean", seed)
        offs.append((torch.tensor(crops.faces[0].landmarks) - template()).flatten())
    assert float(torch.cat(offs).std()) == pytest.approx(trials.OFF, rel=0.15)
