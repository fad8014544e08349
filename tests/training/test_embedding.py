import csv
import math
from collections import Counter

import numpy as np
import pytest
import torch
from resemblance.core.models.embedding import EmbeddingConfig, EmbeddingNet
from torch.nn import functional as F

TINY = EmbeddingConfig(4, (8, 8, 8, 12, 12, 16, 16, 16, 16, 16, 16, 24, 24), dim=12)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    net = EmbeddingNet(TINY).eval()
    for parameter in net.parameters():  # as they begin, biases drown what a face shows
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)
        elif parameter.min() < 0:
            torch.nn.init.zeros_(parameter)
    return net


@pytest.fixture
def training():
    return pytest.importorskip("resemblance.core.training.embedding")


@pytest.fixture
def work(tmp_path, training):
    """Photographs and drawn faces as they are kept for training."""
    names = ["lfw/a,lfw-7,train", "lfw/b,lfw-7,train", "lfw/c,lfw-8,train", "lfw/d,lfw-9,val", "london/e,l-1,train"]
    names += ["wild/f,w-1,train", "portraits/g,p-1,test"]
    with (tmp_path / "photographs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "person", "split", "scale"], *([*n.split(","), 1] for n in names)])
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (len(names), 16, 16, 3), dtype=np.uint8).repeat(32, 1).repeat(32, 2)
    faces.tofile(tmp_path / "photographs_512.u8")
    drawn = np.zeros((103, 512, 512, 3), np.uint8)
    drawn[[0, 2, 102]] = faces[:3]  # the second was not drawn, the last is held out
    drawn.tofile(tmp_path / "generated_512.u8")
    return tmp_path


def test_finding_by_hand(training, monkeypatch):
    monkeypatch.setattr(training, "TEMPERATURE", 0.5)
    # Two photographs of one person 60 degrees apart, one each of two others.
    bank = torch.tensor([[1.0, 0.0], [0.5, math.sqrt(0.75)], [0.0, 1.0], [-1.0, 0.0]])
    person = torch.tensor([0, 0, 1, 2])
    views = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    first, single = training.finding(views, torch.tensor([0, 2]), bank, person).tolist()
    # The view of the first is to find the second, cosine 0.5, and not the others', 0 and -1; over the temperature.
    assert first == pytest.approx(math.log(1 + (math.exp(0) + math.exp(-2)) / math.exp(1)), rel=1e-5)
    # The view of a person's only photograph is to find that, 0.8.
    scores = [0.6, 0.5 * 0.6 + math.sqrt(0.75) * 0.8, -0.6]
    assert single == pytest.approx(math.log(1 + sum(math.exp(2 * x) for x in scores) / math.exp(1.6)), rel=1e-5)


def test_each_of_several_is_to_be_found(training, monkeypatch):
    monkeypatch.setattr(training, "TEMPERATURE", 1.0)
    # The view's cosines to the bank: its own photograph's, two others of the person, a stranger's.
    cosines = [0.9, 0.6, 0.2, 0.4]
    bank = torch.tensor([(c, math.sqrt(1 - c * c)) for c in cosines])
    found = training.finding(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), bank, torch.tensor([5, 5, 5, 1]))
    misses = [math.log(1 + math.exp(0.4 - c)) for c in (0.6, 0.2)]
    assert found.tolist() == pytest.approx([sum(misses) / 2], rel=1e-5)


def test_photographs_of_another_face_are_mistaken(training):
    bank = F.normalize(torch.tensor([[1.0, 0.1, 0], [1.0, -0.1, 0], [0, 0, 1.0], [0, 1.0, 0], [0, 0, 1.0]]), dim=1)
    # The third is of no likeness to the first two, whose mean with it still is like the other; the rest are alone.
    assert training.mistaken(bank, torch.tensor([0, 0, 0, 1, 2])).tolist() == [False, False, True, False, False]


def test_only_people_of_the_train_split_who_are_not_kept_for_calibration_are_trained_on(training, work):
    pool = training.PeoplePool(work)
    assert len(pool) == 5 and pool.person.tolist() == [0, 0, 1, 2, 3]  # two of lfw-7, of london, and two drawn ones
    stored = np.memmap(work / "photographs_512.u8", np.uint8, "r").reshape(-1, 512, 512, 3)
    assert all(np.array_equal(pool.face(n), stored[row]) for n, row in enumerate((0, 1, 4, 0, 1)))
    assert training.for_calibration("lfw-16") and not training.for_calibration("members-16")
    drawn = Counter(pool.views(np.random.default_rng(0), 12).photographs.tolist())
    pool.leave_out(torch.tensor([True, False, False, False, False]))
    assert pool.person.tolist() == [4, 0, 1, 2, 3]
    again = Counter(pool.views(np.random.default_rng(0), 12).photographs.tolist())
    assert drawn[0] and not again[0]


def test_views_are_damaged_and_depend_on_the_seed_alone(training, work):
    pool = training.PeoplePool(work)
    first, again, other = (pool.views(np.random.default_rng(seed), 4) for seed in (3, 3, 4))
    assert first.pixels.shape == (4, 3, 160, 160) and len(first) == 4
    assert first.pixels.min() >= 0 and first.pixels.max() <= 1
    assert torch.equal(first.pixels, again.pixels) and torch.equal(first.photographs, again.photographs)
    assert not torch.equal(first.pixels, other.pixels)


def test_small_faces_lose_what_they_are_too_small_for(training):
    face = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    seen = training.small(face, np.random.default_rng(1))
    assert seen.shape == face.shape and seen.std() < 0.5 * face.std()
    side = training.small(face, np.random.default_rng(1), back=False).shape[0]
    assert 16 <= round(side * training.FACE) <= 60


def test_anchors_are_what_a_network_says_and_are_kept(training, work, tiny):
    pool, kept = training.PeoplePool(work), work / "anchors.safetensors"
    found = training.anchors(pool, tiny, kept)
    halves = torch.stack([torch.from_numpy(pool.face(n)).permute(2, 0, 1) / 255 for n in range(len(pool))])
    with torch.no_grad():
        expected = tiny(F.avg_pool2d(halves, 2))
    assert ((found * expected).sum(1) > 0.999).all()
    assert torch.equal(training.anchors(pool, None, kept), found)
