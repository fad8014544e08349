import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from resemblance.core.geometry import TEMPLATE
from resemblance.core.models.detector import fold
from resemblance.core.models.embedding import RECOGNITION_TEMPLATE, EmbeddingConfig, EmbeddingNet, RecognitionCrop
from safetensors.torch import load_file

TINY = EmbeddingConfig(widths=(8, 16, 24, 32), blocks=(0, 1, 2, 0), features=40, dim=12)
FACES = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return EmbeddingNet(TINY).eval()


@pytest.mark.parametrize("size", [256, 512])
def test_crops_are_where_recognition_expects_the_points(size):
    """A dot on each point of the template lands on the point of the 112 px alignment, within what the fit leaves."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for (px, py), expected in zip(TEMPLATE, RECOGNITION_TEMPLATE, strict=True):
        # The middle of pixel p of 512 is at (p + 0.5) / 512 of the width.
        at = [(v + 0.5) * size / 512 - 0.5 for v in (px, py)]
        dot = torch.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * (size / 64) ** 2))
        crop = RecognitionCrop()(dot.expand(1, 3, -1, -1))[0, 0]
        line = torch.arange(112.0)
        found = (crop.sum(0) @ line / crop.sum(), crop.sum(1) @ line / crop.sum())
        assert math.dist(map(float, found), expected) < 3


@pytest.mark.parametrize("shape", [(1, 3, 112, 112), (1, 3, 256, 512), (1, 3, 0, 0)])
def test_other_sizes_are_named(tiny, shape):
    with pytest.raises(ValueError, match=rf"{shape[3]}x{shape[2]} px; expected squares .* multiple of 256"):
        tiny(torch.zeros(shape))


def test_embeddings_have_length_one_and_depend_on_their_face_alone(tiny):
    embeddings = tiny(FACES)
    assert embeddings.shape == (2, 12)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(tiny(FACES[1:]), embeddings[1:])
    assert torch.equal(tiny(FACES), embeddings)


def test_gradients_reach_the_face_and_point_to_its_identity(tiny):
    face, wanted = FACES[:1].clone().requires_grad_(), tiny(FACES[1:]).detach()
    before = (tiny(face) * wanted).sum()
    (gradient,) = torch.autograd.grad(before, face)
    assert torch.isfinite(gradient).all()
    after = (tiny(face + 1e-3 * gradient / gradient.abs().max()) * wanted).sum()
    assert after > before


def test_bfloat16_is_near_float32(tiny):
    half = EmbeddingNet(TINY).eval()
    half.load_state_dict(tiny.state_dict())
    embeddings = half.bfloat16()(FACES)
    assert embeddings.dtype == torch.float32
    assert ((embeddings * tiny(FACES)).sum(1) > 0.999).all()


def test_sizes_are_read_off_the_tensors(tiny):
    for config in (TINY, replace(TINY, normalise=True), EmbeddingConfig()):
        assert EmbeddingConfig.from_state(EmbeddingNet(config).state_dict()) == config


def test_folding_keeps_the_function(tmp_path):
    training = pytest.importorskip("resemblance.core.training.embedding")
    torch.manual_seed(0)
    student = training.Student(replace(TINY, normalise=True))
    student(FACES)  # in training mode: the statistics are no longer 0 and 1
    student.eval()
    expected = student.net(FACES)
    folded = fold(student.net)
    assert folded.config == TINY
    torch.testing.assert_close(folded(FACES), expected, atol=1e-5, rtol=0)
    training.export(student, tmp_path / "x.safetensors")
    shipped = EmbeddingNet(TINY)
    shipped.load_state_dict(load_file(tmp_path / "x.safetensors"))
    assert ((shipped(FACES) * expected).sum(1) > 0.9999).all()


def test_students_and_teachers_maps_correspond(assets):
    training = pytest.importorskip("resemblance.core.training.embedding")
    teacher, student = training.Teacher("arcface", assets), training.Student(EmbeddingConfig(normalise=True))
    embeddings, maps = teacher(FACES)
    ours, brought = student(FACES)
    assert ours.shape == embeddings.shape
    assert [x.shape for x in brought] == [x.shape for x in maps]
    torch.testing.assert_close(embeddings, training.Recognizer("arcface", assets)(FACES))
    assert maps[0].mean((0, 2, 3)).abs().max() < 1e-4


def test_the_bank_compares_as_the_teacher_does():
    training = pytest.importorskip("resemblance.core.training.embedding")
    bank, (known, wanted) = training.Bank(), torch.eye(8).split(4)
    bank.compare(known.expand(3, -1, -1), known)
    assert bank.compare(wanted.expand(3, -1, -1), wanted).item() == pytest.approx(0, abs=1e-6)
    # Taken for another of those in the bank: log-probabilities differ by 1/T where one of the two lies, weighed by
    # the teacher's probability, which is all but 1 for the face itself.
    wrong = bank.compare(wanted.roll(1, 0).expand(3, -1, -1), wanted).item()
    assert wrong == pytest.approx(1 / training.TEMPERATURE, rel=1e-3)
    for _ in range(training.BANK // 4 + 1):
        bank.compare(wanted.expand(3, -1, -1), wanted)
    assert len(bank.rows) == training.BANK


def test_views_are_one_face_in_three_states(tmp_path, monkeypatch):
    training = pytest.importorskip("resemblance.core.training.embedding")
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (102, 16, 16, 3), dtype=np.uint8).repeat(32, 1).repeat(32, 2)
    faces.tofile(tmp_path / "generated_512.u8")
    faces[:1].tofile(tmp_path / "photographs_512.u8")
    (tmp_path / "photographs.csv").write_text("path,person,split,scale\nlondon/a.jpg,a,train,1\n")
    references = np.zeros((204, 512, 512, 3), np.uint8)
    references[2] = faces[5]
    references[200] = faces[6]  # of a person who is held out
    references.tofile(tmp_path / "references_512.u8")
    pool = training.PeoplePool(tmp_path)
    assert [len(pool.faces[name]) for name in ("london", "portraits", "members")] == [1, 0, 0]
    assert [row for _, row in pool.faces["generated"]] == [0, 1, 2]  # two people and the one reference that is drawn
    monkeypatch.setattr(training, "SHARES", {"london": 0.5, "generated": 0.5})
    first, again = (pool.views(np.random.default_rng(3), 4) for _ in range(2))
    assert first.shape == (12, 3, 256, 256) and torch.equal(first, again)
    clean, moderate, severe = first.split(4)
    assert 0 < (moderate - clean).abs().mean() < (severe - clean).abs().mean()
    assert not torch.equal(clean, pool.views(np.random.default_rng(4), 4)[:4])
