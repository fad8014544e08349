import pytest
import torch
from resemblance.core.models.detector import DetectorConfig, FaceDetector, places
from resemblance.core.training.detector import assign, loss, mirrored, overlap

SMALL = DetectorConfig(widths=(4, 4, 8, 8, 8), blocks=(0, 1, 1, 1), neck=8)


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
