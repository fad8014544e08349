"""Batches of people made by torch alone."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from resemblance.core.training.device_data import (
    DeviceFaces,
    DevicePeople,
    draw_moves,
    draw_shares,
    in_turn,
    move,
    similarities,
)
from resemblance.core.training.generator import Generator, GeneratorConfig
from resemblance.core.training.people import TRIES, another_photograph


class Greys(torch.nn.Module):
    """A generator whose person number n of a batch is a grey picture, and others black: mixing makes darker."""

    def __init__(self):
        super().__init__()
        self.mean = torch.zeros(1, 512)
        self.drawn = []

    def people(self, numbers):
        if min(numbers) >= 1 << 30:
            return torch.full((len(numbers), 512), -1.0)
        return torch.tensor([0.8, -0.4, 0.2, -0.9])[: len(numbers), None].expand(-1, 512).contiguous()

    def forward(self, styles):
        self.drawn.append(styles)
        return styles[:, 8, 0, None, None, None].expand(-1, 3, 64, 64)  # of the modulations of features


class Recognizer(torch.nn.Module):
    def __init__(self, cosine):
        super().__init__()
        self.cosine = cosine

    def forward(self, faces):
        return torch.full((len(faces), 1), self.cosine**0.5)


def test_other_photographs_are_mixed_as_in_the_stored_set():
    w, other = np.random.default_rng(0).standard_normal((2, 1, 512)).astype(np.float32)
    expected = another_photograph(w, other, np.random.default_rng(1), 0.5)
    shares = draw_shares(np.random.default_rng(1), 1, 0.5)
    mixed = torch.lerp(torch.from_numpy(w), torch.from_numpy(other), shares[0, :, None])
    assert np.allclose(mixed, expected, atol=1e-6)
    many = draw_shares(np.random.default_rng(2), 50)
    assert many[:, 7:10].max() <= 0.2 < many[:, 10:].max() and many.std(0).min() > 0


def test_faces_move_as_opencv_moves_them():
    cv2 = pytest.importorskip("cv2")
    side, angle, growth, shift = 128, 4.0, 1.06, (3.0, -5.0)
    face = cv2.resize(
        np.random.default_rng(0).uniform(0.2, 0.8, (9, 9, 3)), (side, side), interpolation=cv2.INTER_CUBIC
    ).astype(np.float32)  # in float64 OpenCV 5 leaves black what it should mirror
    matrix = cv2.getRotationMatrix2D((side / 2 - 0.5,) * 2, angle, growth)
    matrix[:, 2] += shift
    for flip in (False, True):
        source = np.ascontiguousarray(face[:, ::-1] if flip else face)
        expected = cv2.warpAffine(source, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        affine = similarities(np.radians([angle]), np.array([growth]), np.array([shift]) * 2 / side, np.array([flip]))
        result = move(torch.from_numpy(face.transpose(2, 0, 1)[None]).float(), affine)[0].permute(1, 2, 0)
        assert np.abs(result.numpy() - expected).max() < 0.01


def test_half_of_the_pictures_are_left_where_they_are():
    affines = draw_moves(np.random.default_rng(0), np.zeros(200, bool))
    still = (affines == torch.eye(2, 3)).all((1, 2))
    assert 70 < still.sum() < 130
    moved = affines[~still]
    assert moved[..., 2].abs().amax() < 0.05 and (torch.linalg.det(moved[..., :2]).rsqrt() - 1).abs().max() < 0.081


def test_wrong_references_and_they_alone_show_another_person():
    batch = DevicePeople(Greys(), Recognizer(1.0), references=3).batch(np.random.default_rng(3), 4)
    own = torch.tensor([0.9, 0.3, 0.6, 0.05])  # in [0,1]
    value = batch.references[:, :, 0].mean((2, 3))
    same = (value <= own[:, None] + 1e-5) & (value >= 0.8 * own[:, None] - 1e-5)  # darker by a fifth at most
    assert torch.equal(same, ~batch.wrong)
    assert batch.wrong.any() and not batch.wrong.all()
    assert torch.allclose(batch.clean[:, 0].mean((1, 2)), own, atol=1e-5)


def test_pictures_that_fail_as_the_same_person_are_drawn_again_milder():
    accepted, refused = Greys(), Greys()
    DevicePeople(accepted, Recognizer(0.6)).batch(np.random.default_rng(0), 4)
    DevicePeople(refused, Recognizer(0.4)).batch(np.random.default_rng(0), 4)
    assert [len(s) for s in accepted.drawn] == [4, 8]
    assert [len(s) for s in refused.drawn] == [4] + [8] * TRIES
    changes = [(s - refused.drawn[0].repeat_interleave(2, 0)).abs().mean() for s in refused.drawn[1:]]
    assert changes[-1] < changes[0] / 2


def test_a_batch_depends_on_its_seed_alone():
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(mapping=1, channels=(4,) * 8), size=64).requires_grad_(False)
    people = DevicePeople(generator, Recognizer(1.0), references=1)
    first, again, other = (people.batch(np.random.default_rng(seed), 2) for seed in (1, 1, 2))
    for name, shape in (("clean", (2, 3, 64, 64)), ("damaged", (2, 3, 64, 64)), ("references", (2, 1, 3, 64, 64))):
        value = getattr(first, name)
        assert value.shape == shape and value.dtype == torch.float32
        assert value.min() >= 0 and value.max() <= 1
        assert torch.equal(value, getattr(again, name)) and not torch.equal(value, getattr(other, name))
    assert not torch.equal(first.damaged, first.clean)


def test_faces_alone_are_damaged_whole_and_cut_at_one_place():
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(mapping=1, channels=(4,) * 8), size=64).requires_grad_(False)
    faces = DeviceFaces(generator)
    whole, again = (faces.damaged(np.random.default_rng(1), 3) for _ in range(2))
    assert torch.equal(whole.damaged, again.damaged) and not torch.equal(whole.damaged, whole.clean)
    assert whole.clean.shape == (3, 3, 64, 64) and whole.clean.dtype == torch.float32
    assert len(whole) == 3 and whole.sharp.all() and whole.origin == (0, 0)
    places = set()
    for seed in range(6):
        part, whole = (faces.damaged(np.random.default_rng(seed), 2, crop) for crop in (32, None))
        row, column = (32 * v for v in part.origin)
        places.add(part.origin)
        assert torch.equal(part.clean, whole.clean[..., row : row + 32, column : column + 32])
        assert torch.equal(part.damaged, whole.damaged[..., row : row + 32, column : column + 32])
    assert len(places) > 1
    clean, squares = faces.clean(np.random.default_rng(2), 4), faces.crops(np.random.default_rng(2), 4, 24)
    for face, square in zip(clean, squares, strict=True):
        found = face.unfold(1, 24, 1).unfold(2, 24, 1)
        assert (found == square[:, None, None]).all(-1).all(-1).all(0).any()


def test_batches_come_in_turn_and_resume_where_they_were():
    def make(rng, i):
        return i, rng.integers(1 << 30)

    first = in_turn(iter("abcd"), make, 5, 0)
    seen = [next(first) for _ in range(8)]
    assert seen[::2] == list("abcd") and [i for i, _ in seen[1::2]] == [0, 1, 2, 3]
    later = in_turn(iter("cd"), make, 5, 2)
    assert [next(later) for _ in range(4)] == seen[4:]


def test_the_device_needs_neither_opencv_nor_openvino():
    code = "import sys; sys.modules |= dict.fromkeys(('cv2', 'openvino', 'onnx')); import {}.core.training.device_data"
    subprocess.run([sys.executable, "-c", code.format("resemblance")], check=True)
