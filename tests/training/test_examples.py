import importlib.util

import numpy as np
import pytest
from host_server import ROOT

if not all(map(importlib.util.find_spec, ("cv2", "onnx"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training.examples import OVERLAP, PEOPLE, REFERENCES, RUINED, _beside, _write


def test_portraits_run_into_each_other_where_they_meet():
    dark, light = np.zeros((4, 300, 3), np.uint8), np.full((4, 300, 3), 200, np.uint8)
    both = _beside([dark, light])
    assert both.shape == (4, 600 - OVERLAP, 3) and both.dtype == np.uint8
    assert not both[:, : 300 - OVERLAP].any() and (both[:, 300:] == 200).all()
    seam = both[0, 300 - OVERLAP : 300, 0].astype(int)
    assert np.abs(seam - np.linspace(0, 200, OVERLAP)).max() <= 0.5
    assert np.array_equal(_beside([dark]), dark)


def test_a_picture_is_given_as_it_is_read_back(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    again = _write(tmp_path / "a.jpg", noise)
    assert not np.array_equal(again, noise)  # JPEG loses something
    assert np.array_equal(again, _write(tmp_path / "b.png", again))
    red = _write(tmp_path / "c.png", np.full((2, 2, 3), (255, 0, 0), np.uint8))
    assert red[0, 0].tolist() == [255, 0, 0]


def test_all_that_is_drawn_ships():
    shipped = {path.name for path in (ROOT / "nodes/examples").iterdir()}
    parts = ["truth", "damaged", *(f"reference_{n + 1}" for n in range(REFERENCES))]
    ruined = {f"{name}_ruined.jpg" for name in RUINED}
    assert shipped == {f"{name}_{part}.jpg" for name in PEOPLE for part in parts} | ruined
