"""Drawn people, stored and growing."""

import itertools

import numpy as np
import pytest
import torch
from resemblance.core.training import drawn
from resemblance.core.training.data import HELD_OUT
from resemblance.core.training.drawn import NUMBERS, DrawnFaces, growing
from resemblance.core.training.faces import open_faces


class Features(torch.nn.Module):
    """A generator whose person n has n mod 1000 as style, and as features."""

    def __init__(self):
        super().__init__()
        self.synthesis = self
        self.asked = []

    def people(self, numbers):
        return torch.tensor([[float(n % 1000)] for n in numbers])

    def features(self, styles, side):
        self.asked += styles[:, 0, 0].tolist()
        return styles[:, :1, :, None].expand(-1, 2, side, side)


class Same:
    """A basis that leaves the features as they are."""

    components = torch.eye(2)
    fingerprint = "0123456789abcdef"

    def to_latent(self, features):
        return features


@pytest.fixture
def stored(tmp_path):
    faces = open_faces(tmp_path / "generated_512.u8", HELD_OUT + 3, 512)
    for i in (0, 1, 2, HELD_OUT + 2):
        faces[i] = i + 1
    return tmp_path


def paint(w):
    return np.full((512, 512, 3), int(w[0, 0]) % 255, np.uint8)


def test_stored_people_have_their_latents_and_styles_and_the_last_are_held_out(stored):
    generator = Features()
    faces = DrawnFaces(stored, generator, Same())
    assert len(faces) == 3 and generator.asked == [0, 1, 2]
    assert faces[2].picture.max() == 3 and faces[2].style.tolist() == [2] and (faces[2].latent == 2).all()
    others = DrawnFaces(stored, generator, Same(), held_out=True)
    assert len(others) == HELD_OUT and others[HELD_OUT - 1].picture.max() == HELD_OUT + 3
    assert others[0].style.tolist() == [3]


def test_new_people_are_appended_and_found_again(stored):
    faces = DrawnFaces(stored, Features(), Same(), paint, capacity=2)
    assert faces.grow() and faces.grow() and not faces.grow()
    again = DrawnFaces(stored, generator := Features(), Same(), paint, capacity=2)
    assert len(again) == 5
    assert generator.asked == [0]  # whose latent is zero, as if it were missing
    for i in (3, 4):
        number = (NUMBERS + i - 3) % 1000
        assert again[i].style.item() == number and (again[i].latent == number).all()
        assert (again[i].picture == number % 255).all()


def test_nobody_is_drawn_without_a_painter(stored):
    assert not DrawnFaces(stored, Features(), Same(), capacity=2).grow()


def test_people_are_drawn_in_a_share_of_the_time(monkeypatch):
    clock = itertools.count()
    now = [0.0]
    monkeypatch.setattr(drawn.time, "monotonic", lambda: now[0])

    class Slow:
        grown = 0

        def grow(self):
            now[0] += 2
            self.grown += 1
            return self.grown < 5

    faces = Slow()
    batches = growing(iter(lambda: [next(clock)], None), faces, 0.25)
    seen, grown = [], {}
    for _ in range(40):
        seen.append(next(batches)[0])
        now[0] += 1
        grown[now[0]] = faces.grown
    assert seen == list(range(40))
    assert max(n for at, n in grown.items() if at < 20) == pytest.approx(0.25 * 20 / 2, abs=1)
    assert faces.grown == 5  # no room: never asked again
