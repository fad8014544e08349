import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from resemblance.core import geometry
from resemblance.core.faces.detect import detect_faces, load_detector
from resemblance.core.faces.detectors.builtin import WEIGHTS, BuiltinBackend
from resemblance.core.models.detector import DetectorConfig, FaceDetector, fold, places
from resemblance.core.training.detector import assign, loss, mirrored, overlap
from resemblance.core.training.detector_eval import compare
from safetensors.torch import load_file

PHOTOS = Path(__file__).parents[1] / "photos"
SMALL = DetectorConfig(widths=(4, 4, 8, 8, 8), blocks=(0, 1, 1, 1), neck=8)

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
    return load_detector("builtin")


def read(name):
    return torch.from_numpy(np.array(Image.open(PHOTOS / name).convert("RGB"))).permute(2, 0, 1).float() / 255


def off(face, expected):
    """Mean distance of the five points as a share of the face's width."""
    gap = np.array(face.landmarks) - np.array(expected[4:]).reshape(5, 2)
    return np.hypot(*gap.T).mean() / (expected[2] - expected[0])


def iou(face, expected):
    return float(overlap(torch.tensor([face.box]), torch.tensor([expected[:4]], dtype=torch.float32)))


# --- what ships ------------------------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match=r"other\.safetensors.*builtin detector"):
        BuiltinBackend(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError):
        BuiltinBackend(tmp_path / "absent.safetensors")


# --- the network -----------------------------------------------------------------------------------------------------


def test_places_by_hand():
    centres, strides = places([(2, 3), (1, 1), (1, 1)], torch.device("cpu"))
    # The first place of stride 8 covers pixels 0 to 7, whose middle is 3.5; stride 32 covers 0 to 31.
    assert centres.tolist() == [
        [3.5, 3.5],
        [11.5, 3.5],
        [19.5, 3.5],
        [3.5, 11.5],
        [11.5, 11.5],
        [19.5, 11.5],
        [7.5, 7.5],
        [15.5, 15.5],
    ]
    assert strides.flatten().tolist() == [8] * 6 + [16, 32]


def test_predictions_by_hand():
    network = FaceDetector(SMALL).eval()
    torch.nn.init.zeros_(network.head.weight)
    # Middle half a stride to the right, twice as wide as the stride, as high as it; the nose a stride below the place.
    values = [1.5, 0.5, 0.0, math.log(2), 0.0, -1, 0, 1, 0, 0, 1, -1, 2, 1, 2]
    network.head.bias.data = torch.tensor(values, dtype=torch.float32)
    logits, boxes, points = network(torch.rand(2, 3, 32, 64))
    assert logits.shape == (2, 32 + 8 + 2) and boxes.shape == (2, 42, 4) and points.shape == (2, 42, 5, 2)
    assert boxes[1, 1].tolist() == pytest.approx([11.5 + 4 - 8, 3.5 - 4, 11.5 + 4 + 8, 3.5 + 4])
    assert points[0, 32].tolist() == [[-8.5, 7.5], [23.5, 7.5], [7.5, 23.5], [-8.5, 39.5], [23.5, 39.5]]
    assert logits.unique().tolist() == [1.5]


def test_folding_changes_nothing():
    torch.manual_seed(0)
    network = FaceDetector(DetectorConfig(SMALL.widths, SMALL.blocks, SMALL.neck, normalise=True))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    picture = torch.rand(1, 3, 64, 96)
    for a, b in zip(network.eval()(picture), fold(network)(picture), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)
    assert not any("norm" in name for name in fold(network).state_dict())


# --- training --------------------------------------------------------------------------------------------------------


def label(x0, y0, x1, y1, weight=1.0):
    w, h = x1 - x0, y1 - y0
    points = [
        x0 + 0.3 * w,
        y0 + 0.4 * h,
        x0 + 0.7 * w,
        y0 + 0.4 * h,
        x0 + w / 2,
        y0 + 0.6 * h,
        x0 + 0.35 * w,
        y0 + 0.8 * h,
    ]
    return [x0, y0, x1, y1, *points, x0 + 0.65 * w, y0 + 0.8 * h, weight]


def test_overlap_by_hand():
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10]])
    # Second: 50 of 150, hull 150. Third: nothing shared, and 100 of the hull's 300 belong to neither.
    assert overlap(a, b).tolist() == pytest.approx([1, 1 / 3, -1 / 3])


def test_mirroring_twice_is_nothing_and_once_swaps_sides():
    faces = torch.tensor([label(10, 20, 30, 50)])
    once = mirrored(faces, 100)
    assert once[0, :4].tolist() == [69, 20, 89, 50]
    assert once[0, 4] < once[0, 6]  # the left eye is still the one on the left
    torch.testing.assert_close(mirrored(once, 100), faces)


def test_places_answer_for_the_face_they_are_in():
    centres, strides = places([(20, 20), (10, 10), (5, 5)], torch.device("cpu"))
    faces = torch.tensor([label(20, 20, 52, 60), label(90, 80, 150, 150), label(100, 10, 140, 50, weight=0.0)])
    boxes = torch.cat([centres - 20, centres + 20], 1)
    place, which, ignored = assign(torch.zeros(len(centres)), boxes, faces, centres, strides)
    assert set(which.tolist()) == {0, 1} and len(set(place.tolist())) == len(place)
    for p, f in zip(place.tolist(), which.tolist(), strict=True):
        x, y = centres[p].tolist()
        assert faces[f, 0] < x < faces[f, 2] and faces[f, 1] < y < faces[f, 3]
    # Middles in 100..140 and 10..50: 107.5 to 139.5 by 11.5 to 43.5; 103.5 to 135.5 by 23.5, 39.5; 111.5 by 15.5, 47.5.
    assert ignored.sum() == 5 * 5 + 3 * 2 + 1 * 2
    assert not ignored[place].any()


def test_loss_falls_to_the_floor_on_one_picture():
    torch.manual_seed(0)
    network = FaceDetector(DetectorConfig(SMALL.widths, SMALL.blocks, SMALL.neck, normalise=True)).train()
    picture = torch.rand(2, 3, 96, 96)
    labels = [torch.tensor([label(20, 24, 60, 76)]), torch.zeros(0, 15)]
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    sums = []
    for _ in range(60):
        total = torch.stack(list(loss(*network(picture), labels, 96).values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        sums.append(float(total.detach()))
    assert sums[-1] < 0.25 * sums[0]


def test_turned_labels_stay_on_the_face():
    cv2 = pytest.importorskip("cv2")
    from resemblance.core.training.detector_data import _similarity

    image = np.zeros((120, 160, 3), np.uint8)
    faces = np.array([label(50, 40, 90, 90)], np.float32)
    dots = faces[0, 4:14].reshape(5, 2)
    for k, (x, y) in enumerate(dots):
        cv2.circle(image, (round(x), round(y)), 3, (50 * (k + 1), 255, 255), -1)
    for scale in (1.7, 0.6):
        for flip in (False, True):
            moved, affine = _similarity(image, np.array([70.0, 65.0]), scale, 0.5, flip, np.array([100.0, 90.0]))
            drawn = cv2.warpAffine(moved, affine.last, (200, 180))
            points = affine.labels(faces)[0, 4:14].reshape(5, 2)
            names = [1, 0, 2, 4, 3] if flip else [0, 1, 2, 3, 4]
            for k, name in enumerate(names):
                x, y = np.rint(points[k]).astype(int)
                assert drawn[y, x, 1] > 150  # a dot is there ...
                assert drawn[y, x, 0] == pytest.approx(50 * (name + 1), abs=25)  # ... and it is the right one


def test_counting_by_hand():
    from resemblance.core.records import Face

    def found(row):
        return Face(0, 0, tuple(row[:4]), 0.9, tuple(zip(row[4:14:2], row[5:14:2], strict=True)))

    truth = np.array([label(0, 0, 40, 40), label(100, 0, 150, 60), label(0, 100, 20, 120)], np.float32)
    shifted = [v + (2 if i % 2 == 0 else 0) for i, v in enumerate(label(0, 0, 40, 40)[:14])]
    hits, wanted, wrong, errors = compare(
        [found(shifted), found(label(200, 200, 240, 240)), found(label(0, 100, 20, 120))], truth
    )
    # One of two large faces is found, 2 px off; one answer is nobody; the small face counts neither way.
    assert (hits, wanted, wrong) == (1, 2, 1)
    assert errors == pytest.approx([2 / 40])
