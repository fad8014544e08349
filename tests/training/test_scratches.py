"""What the scratch network learns from."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

import cv2
from resemblance.core.training import scratches


def smooth(seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).integers(40, 200, (12, 12, 3), dtype=np.uint8)
    return cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC)


def test_damage_is_where_drawing_changed_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratches, "SCANNED", {"none": 1.0})
    face = smooth(1)
    seen, damage = scratches.worn(face, np.random.default_rng(3), True)
    assert 0.001 < damage.mean() < 0.4
    change = np.abs(seen.astype(int) - face).max(-1)
    assert change[damage].min() > 25 and change[~damage].max() <= 26
    same, nothing = scratches.worn(face, np.random.default_rng(3), False)
    assert np.array_equal(same, face) and not nothing.any()


def test_squares_follow_the_seed_and_hold_damage_and_none() -> None:
    class Pool:
        def draw(self, rng: np.random.Generator, sharp_only: bool) -> tuple[np.ndarray, bool]:
            return smooth(int(rng.integers(1000))), True

    one, again = (scratches.drawn(Pool(), np.random.default_rng(2), 6) for _ in range(2))  # type: ignore[arg-type]
    assert torch.equal(one.pixels, again.pixels) and torch.equal(one.damage, again.damage)
    assert one.pixels.shape == (6, 3, 256, 256) and one.damage.shape == (6, 1, 256, 256) and len(one) == 6
    shares = one.damage.mean((1, 2, 3))
    assert (shares == 0).any() and (shares > 0).any()


def test_the_table_counts_what_is_found_and_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratches, "SCANNED", {"none": 1.0})

    class Brightness(torch.nn.Module):
        """Takes what is brighter than 0.9 for damage, whatever it is."""

        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            return torch.where(faces.amin(1, keepdim=True) > 0.9, 9.0, -9.0)

    def barred(face: np.ndarray, rng: np.random.Generator, spoilt: bool) -> tuple[np.ndarray, np.ndarray]:
        damage = np.zeros(face.shape[:2], bool)
        damage[200:220] = spoilt
        seen = np.where(damage[..., None], 255, face)
        seen[300:310] = 255  # is bright by itself
        return seen.astype(np.uint8), damage

    monkeypatch.setattr(scratches, "worn", barred)
    last = scratches.table(Brightness(), [np.full((512, 512, 3), 90, np.uint8)]).splitlines()[-1]
    _, threshold, found, right, clean, _ = (cell.strip() for cell in last.split("|"))
    assert (float(threshold), float(found)) == (0.95, 1.0)
    assert float(right) == pytest.approx(20 / 30, abs=0.03) and 0.01 < float(clean) < 0.05
