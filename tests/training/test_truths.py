"""Drawn people and photographs beside each other."""

import csv

import numpy as np
import pytest
import torch
from resemblance.core.training import truths
from resemblance.core.training.drawn import Drawn
from resemblance.core.training.faces import open_faces
from resemblance.core.training.truths import Truths

ROWS = [  # path, split, scale, how worn
    ("london/1.jpg", "train", 0.8, 0.0),
    ("london/2.jpg", "val", 0.8, 0.0),
    ("members/1.jpg", "train", 2.0, 0.0),
    ("members/2.jpg", "train", 2.0, 0.9),
    ("congress/1.jpg", "train", 3.0, 0.05),
    ("lfw/1.jpg", "train", 3.0, 0.0),
]


class People:
    """Drawn people: all white, with a latent and a style of ones."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return Drawn(np.full((512, 512, 3), 255, np.uint8), torch.ones(4, 32, 32), torch.ones(5))


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Photograph number n is of brightness 10 · (n + 1), and as worn as the table says."""
    faces = open_faces(tmp_path / "photographs_512.u8", len(ROWS), 512)
    for i in range(len(ROWS)):
        faces[i] = 10 * (i + 1)
    with (tmp_path / "photographs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "person", "split", "scale"])
        writer.writerows([path, str(i), split, scale] for i, (path, split, scale, _) in enumerate(ROWS))
    looked = []

    def severity_of(faces):
        row = round(float(faces.mean()) * 255) // 10 - 1
        looked.append(row)
        return [ROWS[row][3]]

    monkeypatch.setattr(truths, "severity_of", severity_of)
    monkeypatch.setattr(truths, "age", lambda face, rng: face)
    monkeypatch.setattr(truths, "damage", lambda face, severity, rng: face // 2)
    return tmp_path, looked


def test_worn_photographs_and_those_of_others_are_left_out(work):
    folder, looked = work
    faces = Truths(folder, People())
    assert {name: rows.tolist() for name, rows in faces.rows.items()} == {
        "london": [0],
        "portraits": [],
        "members": [2],
        "congress": [4],
    }
    assert sorted(looked) == [0, 2, 3, 4]
    Truths(folder, People())
    assert len(looked) == 4  # known from then on


def test_two_of_five_are_photographs_and_say_where_they_are_sharp(work):
    batch = Truths(work[0], People()).batch(np.random.default_rng(0), 60)
    assert batch.square is None and len(batch) == 60
    assert batch.known.float().mean().item() == pytest.approx(0.6, abs=0.15)
    bright = (batch.clean.mean((1, 2, 3)) * 255).round()
    assert torch.equal(bright == 255, batch.known)
    sizes = {10: 1, 30: 2, 50: 4, 255: 1}
    assert all(sizes[int(b)] == int(size) for b, size in zip(bright, batch.size, strict=True))
    assert torch.equal(batch.latents.amax((1, 2, 3)), batch.known.float())
    assert torch.equal(batch.styles.amax(1), batch.known.float())
    assert torch.allclose((batch.damaged * 255).round(), (batch.clean * 255).round().div(2).floor())


def test_squares_are_of_faces_sharp_at_full_size_and_lie_within_them(work):
    faces = Truths(work[0], People())
    places = []
    for i in range(40):
        batch = faces.batch(np.random.default_rng(i), 1, side=16)
        assert (batch.size == 1).all()
        places += batch.square
    assert set(places) <= set(range(0, 17, 2)) and len(set(places)) > 6
    assert np.mean([4 <= place <= 12 for place in places]) > 0.6  # the middle, more often than by chance
    again = faces.batch(np.random.default_rng(39), 1, side=16)
    assert again.square == batch.square and torch.equal(again.damaged, batch.damaged)
