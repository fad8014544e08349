"""What ships finds faces as SCRFD does."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from resemblance.core import geometry
from resemblance.core.faces.detect import detect_faces, load_detector
from resemblance.core.faces.detectors.builtin import WEIGHTS, BuiltinBackend
from resemblance.core.models.detector import FaceDetector
from resemblance.core.training.detector import overlap
from safetensors.torch import load_file

PHOTOS = Path(__file__).parents[2] / "photos"

# SCRFD's answers (scrfd_500m_bnkps at 640 px): box, then eyes, nose and corners of the mouth.
GROUP = (
    (56, 261, 169, 398, 83, 329, 125, 303, 118, 336, 115, 370, 149, 348),
    (271, 145, 372, 271, 286, 207, 319, 190, 303, 224, 312, 245, 340, 231),
    (464, 267, 573, 416, 496, 322, 546, 336, 514, 362, 485, 368, 531, 381),
    (746, 343, 848, 481, 762, 401, 804, 400, 775, 429, 768, 445, 805, 444),
    (907, 60, 1012, 207, 917, 119, 949, 116, 921, 151, 936, 170, 962, 167),
    (1131, 273, 1228, 401, 1150, 325, 1195, 320, 1171, 345, 1157, 367, 1198, 363),
)
PORTRAITS = {
    "member_001006.jpg": (124, 59, 227, 198, 165, 114, 210, 115, 197, 136, 172, 164, 207, 165),
    "member_021752.jpg": (108, 77, 208, 211, 137, 127, 182, 128, 161, 152, 139, 173, 179, 174),
    "portrait_male_93.jpg": (143, 77, 279, 289, 175, 163, 241, 159, 209, 200, 187, 237, 240, 233),
}


@pytest.fixture(scope="module")
def builtin():
    return load_detector("built-in")


def read(name):
    return torch.from_numpy(np.array(Image.open(PHOTOS / name).convert("RGB"))).permute(2, 0, 1).float() / 255


def off(face, expected):
    """Mean distance of the five points as a share of the face's width."""
    gap = np.array(face.landmarks) - np.array(expected[4:]).reshape(5, 2)
    return np.hypot(*gap.T).mean() / (expected[2] - expected[0])


def iou(face, expected):
    return float(overlap(torch.tensor([face.box]), torch.tensor([expected[:4]], dtype=torch.float32)))


def test_shipped_weights_are_small_and_in_half_precision():
    assert WEIGHTS.stat().st_size <= 2_000_000
    state = load_file(WEIGHTS)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    assert set(state) == set(FaceDetector().state_dict())


def test_group_photograph(builtin):
    data = pytest.importorskip("insightface.data")
    photo = torch.from_numpy(np.ascontiguousarray(data.get_image("t1")[..., ::-1])).permute(2, 0, 1).float() / 255
    faces = detect_faces([photo], builtin)
    assert [f.index for f in faces] == [0, 1, 2, 3, 4, 5]
    for face, expected in zip(faces, GROUP, strict=True):
        assert iou(face, expected) > 0.6
        assert off(face, expected) < 0.08
    assert np.mean([off(f, e) for f, e in zip(faces, GROUP, strict=True)]) < 0.05


@pytest.mark.parametrize("name", PORTRAITS)
def test_portraits(builtin, name):
    (face,) = detect_faces([read(name)], builtin)
    assert iou(face, PORTRAITS[name]) > 0.6
    assert off(face, PORTRAITS[name]) < 0.05


@pytest.mark.parametrize("name", PORTRAITS)
@pytest.mark.parametrize("angle", [-30, 30])
def test_faces_turn_with_the_picture(builtin, name, angle):
    photo = read(name)
    (upright,) = detect_faces([photo], builtin)
    height, width = photo.shape[1:]
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = torch.tensor([[c, -s, 0], [s, c, 0]], dtype=torch.float64)
    middle = torch.tensor([[(width - 1) / 2, (height - 1) / 2]], dtype=torch.float64)
    turn[:, 2] = 249.5 - geometry.transform(turn, middle)[0]
    turned = geometry.warp(photo, turn, (500, 500), padding="zeros").clamp(0, 1)
    (face,) = detect_faces([turned], builtin)
    expected = geometry.transform(turn, torch.tensor(upright.landmarks))
    width = upright.box[2] - upright.box[0]
    assert (torch.tensor(face.landmarks) - expected).norm(dim=1).mean() / width < 0.08


def test_small_faces_in_a_large_photograph(builtin):
    # Three portraits shrunk so that their faces are about 34 px wide, far apart on a 6000 px wide photograph.
    photo = torch.full((3, 700, 6000), 0.4)
    expected = []
    for x, (name, truth) in zip((100, 2900, 5700), PORTRAITS.items(), strict=True):
        scale = 34 / (truth[2] - truth[0])
        source = read(name)
        size = (round(source.shape[1] * scale), round(source.shape[2] * scale))
        small = torch.nn.functional.interpolate(source[None], size, mode="bilinear", antialias=True)[0]
        photo[:, 300 : 300 + size[0], x : x + size[1]] = small
        expected.append((np.array(truth).reshape(7, 2) + 0.5) * scale - 0.5 + (x, 300))
    faces = detect_faces([photo], builtin)
    assert len(faces) == 3
    for face, truth in zip(faces, expected, strict=True):
        assert iou(face, truth.ravel().tolist()) > 0.5
        assert off(face, truth.ravel()) < 0.12  # they are 17 px wide where the network sees them


def test_pictures_without_a_face(builtin):
    noise = torch.rand(3, 240, 320, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(0, 1, 300).expand(3, 200, 300)
    for photo in (
        torch.zeros(3, 300, 400),
        torch.ones(3, 64, 64),
        noise,
        ramp,
        torch.zeros(3, 1, 1),
        torch.rand(3, 1, 900),
    ):
        assert detect_faces([photo], builtin) == []


def test_other_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors.*built-in detector"):
        BuiltinBackend(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError):
        BuiltinBackend(tmp_path / "absent.safetensors")
