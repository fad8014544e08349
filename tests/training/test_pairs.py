"""Damaged faces with references: what is known of where things are must be true."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

import cv2
from resemblance.core.training import pairs
from resemblance.core.training.flow import place_error


def smooth(seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Three generated people with one more photograph of each, and a hundred held out; two photographs each of two
    others, of one of whom they are small."""
    generated = np.zeros((103, 512, 512, 3), np.uint8)
    for i in range(3):
        generated[i] = smooth(i)
    generated.tofile(tmp_path / "generated_512.u8")
    references = np.zeros((6, 512, 512, 3), np.uint8)
    references[::2] = generated[:3]
    references.tofile(tmp_path / "references_512.u8")
    np.stack([smooth(k) for k in (7, 8, 9, 10)]).tofile(tmp_path / "photographs_512.u8")
    rows = ["path,person,split,scale", *(f"london/1_{name}.jpg,1,train,1.0" for name in ("neutral", "smiling"))]
    rows += [f"lfw/2_{name}.jpg,2,train,3.0" for name in (1, 2)]
    (tmp_path / "photographs.csv").write_text("\n".join([*rows, ""]))
    points = np.random.default_rng(0).uniform(150, 350, (103, 106, 2)).astype(np.float32)
    np.save(tmp_path / "generated_landmarks.npy", points)
    others = np.full((6, 106, 2), np.nan, np.float32)
    others[::2] = points[:3]
    np.save(tmp_path / "references_landmarks.npy", others)
    np.save(tmp_path / "photographs_landmarks.npy", points[:4])
    return tmp_path


def seen(pictures: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return F.grid_sample(pictures, places[:, None], align_corners=False)[:, :, 0].mT


def test_a_bent_face_and_itself_agree_at_the_places_given() -> None:
    rng = np.random.default_rng(4)
    original = pairs.Shot(smooth(1), np.zeros((106, 2), np.float32), True)
    bent, ((reference, here, there),) = pairs._bent(original, rng, 1)
    assert reference is original
    assert np.abs(there - here).max() > 5  # it was bent
    rows, columns = here[:, 1].astype(int), here[:, 0].astype(int)
    expected = bent.face[rows, columns].astype(float)
    place = torch.from_numpy((there * 2 + 1) / 512 - 1).float()[None]
    picture = torch.from_numpy(np.array(original.face)).permute(2, 0, 1)[None].float()
    inside = np.all((there > 2) & (there < 509), 1)
    assert np.abs(seen(picture, place)[0].numpy() - expected)[inside].max() < 4


def test_batches_repeat_and_places_are_where_the_pictures_say(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_taken_otherwise", lambda face, rng: face)
    monkeypatch.setattr(pairs, "age", lambda face, rng: face)
    pool = pairs.PairPool(work)
    one, again = (pairs.trial(pool, np.random.default_rng(2), 6, 2) for _ in range(2))
    assert torch.equal(one.damaged, again.damaged)
    assert one.references.shape == (6, 2, 3, 512, 512)
    assert one.right.all()
    # Generated people's other photographs are copies here, moved: what is at `here` is at `there`.
    checked = 0
    for n in range(6):
        for r in range(2):
            if one.here[n, r].isfinite().all():
                error = (
                    seen(one.clean[n : n + 1], one.here[n, r][None])
                    - seen(one.references[n, r][None], one.there[n, r][None])
                ).abs()
                inside = (one.here[n, r].abs() < 0.9).all(-1) & (one.there[n, r].abs() < 0.9).all(-1)
                if error[0, inside].mean() < 0.1:  # London's two photographs are of different pictures
                    assert error[0, inside].max() < 0.05
                    checked += 1
    assert checked >= 6
    assert not torch.equal(one.clean, one.damaged)


def test_strangers_are_marked_and_their_places_unknown(work: Path) -> None:
    batch = pairs.trial(pairs.PairPool(work), np.random.default_rng(1), 4, 2, wrong=1.0)
    assert not batch.right.any()
    assert batch.here.isnan().all()
    assert float(place_error(torch.zeros(4, 2, 2, 64, 64), batch.here, batch.there, batch.right)) == 0


def test_squares_are_of_faces_that_are_truth_at_full_size(work: Path) -> None:
    pool = pairs.PairPool(work)
    assert [shot.sharp for shot in pool.shots("lfw", 0)] == [False, False]
    whole, part = (pairs.trial(pool, np.random.default_rng(3), 12, 1, square=square) for square in (False, True))
    assert not whole.sharp.all() and whole.square is None
    assert part.sharp.all() and part.square is not None and all(0 <= at <= 16 for at in part.square)
    assert part.to("cpu").square == part.square
