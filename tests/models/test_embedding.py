import csv
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from resemblance.core.geometry import TEMPLATE
from resemblance.core.models.embedding import RECOGNITION_TEMPLATE, EmbeddingConfig, EmbeddingNet, RecognitionCrop
from torch.nn import functional as F

TINY = EmbeddingConfig(4, (8, 8, 8, 12, 12, 16, 16, 16, 16, 16, 16, 24, 24), dim=12)
FACES = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))


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


@pytest.mark.parametrize("size", [160, 256, 512])
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


@pytest.mark.parametrize("shape", [(1, 3, 300, 300), (1, 3, 256, 512), (1, 3, 0, 0)])
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


def test_sizes_are_read_off_the_tensors():
    for config in (TINY, replace(TINY, dim=7), replace(TINY, squeezed=5), EmbeddingConfig()):
        assert EmbeddingConfig.from_state(EmbeddingNet(config).state_dict()) == config


def test_a_face_is_cropped_and_then_embedded(tiny):
    assert torch.equal(tiny(FACES), tiny.embed(RecognitionCrop()(FACES)))
    assert tiny.embed(torch.rand(3, 3, 112, 112)).shape == (3, 12)


# Training


def test_sface_is_the_published_network(assets):
    """Against onnxruntime, which gives the embeddings of pixels from 0 to 255."""
    onnxruntime = pytest.importorskip("onnxruntime")
    sface = pytest.importorskip("resemblance.core.training.sface")
    pytest.importorskip("onnx")
    from resemblance.core.training.assets import asset

    crops = RecognitionCrop()(FACES)
    session = onnxruntime.InferenceSession(str(asset("sface", assets)), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    theirs = torch.cat([torch.from_numpy(session.run(None, {name: (255 * c[None]).numpy()})[0]) for c in crops])
    with torch.no_grad():
        ours = sface.published_sface(assets).embed(crops)
    torch.testing.assert_close(ours, F.normalize(theirs), atol=1e-4, rtol=0)


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


def test_a_squeezed_network_says_the_same_where_channels_are_few(tiny):
    squeeze = pytest.importorskip("resemblance.core.training.squeeze")
    crops = torch.rand(40, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    whole = tiny.embed(crops).detach()
    same = squeeze.squeeze(tiny, crops, channels=24)
    torch.testing.assert_close(same.embed(crops), whole, atol=1e-4, rtol=0)
    fewer = squeeze.squeeze(tiny, crops, channels=12)
    assert fewer.squeeze.weight.shape == (12, 24, 1, 1) and fewer.out.weight.shape == (12, 12 * 49)
    assert EmbeddingConfig.from_state(fewer.state_dict()) == replace(TINY, squeezed=12)
    # What is kept is what counts for these crops: any other twelve channels say less of it.
    chance = torch.Generator().manual_seed(2)
    other = EmbeddingNet(replace(TINY, squeezed=12)).eval()
    keep = torch.linalg.qr(torch.randn(24, 12, generator=chance))[0]
    weight = tiny.out.weight.detach().unflatten(1, (24, 49))
    state = fewer.state_dict() | {
        "squeeze.weight": keep.T[:, :, None, None],
        "out.weight": torch.einsum("ocp,ck->okp", weight, keep).flatten(1),
    }
    other.load_state_dict(state)
    agree, least = ((net.embed(crops) * whole).sum(1).mean().item() for net in (fewer, other))
    assert least < agree - 0.01 and agree > 0.9
    with pytest.raises(ValueError, match="squeezed to 12 channels already"):
        squeeze.squeeze(fewer, crops)
