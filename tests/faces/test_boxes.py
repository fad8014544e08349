import numpy as np
import pytest
import torch
from resemblance.core.faces.boxes import FACE_BOX, crop_regions, faces_in_boxes, upright_landmarks
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.paste import paste_faces
from resemblance.core.geometry import TEMPLATE
from resemblance.core.records import Face


class Seen:
    """A detector that sees what it is told to."""

    def __init__(self, boxes, points):
        self.boxes = torch.tensor(boxes).reshape(-1, 4)
        self.points = torch.tensor(points).reshape(-1, 5, 2)

    def find(self, photo, threshold, min_size, size):
        return self.boxes, self.points, torch.ones(len(self.boxes))


def test_an_upright_face_fills_its_box():
    assert np.allclose(upright_landmarks(FACE_BOX), TEMPLATE)
    x0, y0, x1, y1 = FACE_BOX
    half = tuple(v / 2 + 7 for v in FACE_BOX)
    assert np.allclose(upright_landmarks(half), np.array(TEMPLATE) / 2 + 7)
    # In a box that is too wide or too high, it stands in the middle.
    assert np.allclose(upright_landmarks((x0 - 50, y0, x1 + 50, y1)), TEMPLATE)
    assert np.allclose(upright_landmarks((x0, y0 - 30, x1, y1 + 30)), TEMPLATE)


def test_landmarks_are_those_of_the_face_seen_in_the_box():
    points = np.arange(20.0).reshape(2, 5, 2)
    detector = Seen([[100.0, 100.0, 150.0, 170.0], [10.0, 10.0, 50.0, 70.0]], points)
    photo = torch.zeros(3, 200, 300)
    near, alone = (12.0, 8.0, 52.0, 72.0), (200.0, 20.0, 240.0, 80.0)
    faces = faces_in_boxes([photo, photo], [[near, alone], []], [[0.5, 0.25], []], detector)
    assert [(f.image, f.index, f.box, f.score) for f in faces] == [(0, 0, near, 0.5), (0, 1, alone, 0.25)]
    assert np.array_equal(faces[0].landmarks, points[1]) and faces[1].landmarks == upright_landmarks(alone)
    assert faces_in_boxes([photo], [[near]], [[1.0]], Seen([], []))[0].landmarks == upright_landmarks(near)
    with pytest.raises(ValueError, match="boxes for 1 photographs, but 2 photographs"):
        faces_in_boxes([photo, photo], [[near]], [[1.0]], detector)
    for box in ((5.0, 5.0, 5.0, 9.0), (0.0, 0.0, float("nan"), 9.0)):
        with pytest.raises(ValueError, match="expected x0 < x1 and y0 < y1"):
            faces_in_boxes([photo], [[box]], [[1.0]], detector)


def test_in_a_box_around_a_body_the_face_is_taken():
    points = np.arange(20.0).reshape(2, 5, 2)
    head, other = [100.0, 20.0, 140.0, 75.0], [200.0, 30.0, 240.0, 85.0]
    body = (80.0, 10.0, 170.0, 290.0)
    photo, seen = torch.zeros(3, 300, 300), Seen([head, other], points)
    (face,) = faces_in_boxes([photo], [[body]], [[0.5]], seen)
    assert face.box == tuple(head) and np.array_equal(face.landmarks, points[0]) and face.score == 0.5
    # A box around the face itself has it, in whatever order they come.
    near = (98.0, 22.0, 139.0, 77.0)
    for boxes in ([body, near], [near, body]):
        faces = faces_in_boxes([photo], [boxes], [[0.5, 0.5]], seen)
        assert [(face.index, face.box) for face in faces] == [(boxes.index(near), near)]


def test_a_box_that_no_face_fills_is_left_out(caplog):
    photo = torch.zeros(3, 300, 300)
    body, most, face = (80.0, 10.0, 170.0, 290.0), (10.0, 5.0, 280.0, 290.0), (200.0, 20.0, 250.0, 90.0)
    faces = faces_in_boxes([photo], [[body, most, face]], [[1.0] * 3], Seen([], []))
    assert [(f.index, f.box) for f in faces] == [(2, face)]
    assert "Box 0 of photograph 0 (90x280 px) is no face's" in caplog.text and "Box 1" in caplog.text


def test_a_region_is_where_paste_puts_the_face():
    angle, scale = 0.4, 0.3
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = [tuple(p) for p in (np.array(TEMPLATE) - 256) @ turn.T + [100, 120]]
    outside = [tuple(p) for p in np.array(TEMPLATE) * scale - [500, 0]]
    photo = torch.full((1, 3, 240, 180), 0.5)  # the crop reaches over its edge
    faces = [Face(0, n, (0.0, 0.0, 9.0, 9.0), 1.0, tuple(p)) for n, p in enumerate((points, outside))]
    crops = crop_faces(photo, faces)
    (region,) = crop_regions(crops)
    assert region.face is crops.faces[0]
    x0, y0, x1, y1 = region.region
    corners = (np.array([[0, 0], [512, 0], [0, 512], [512, 512]]) - 256.5) @ turn.T + [100, 120]
    low, high = corners.min(0), corners.max(0)
    assert (x0, y0) == tuple(int(max(0, np.floor(v + 0.5))) for v in low)
    assert (x1, y1) == tuple(int(min(n, np.ceil(v + 0.5))) for v, n in zip(high, (180, 240), strict=True))
    applied = paste_faces(photo, crops, crops.pixels)[1][0, 0]
    whole = torch.zeros(240, 180)
    whole[y0:y1, x0:x1] = region.mask
    assert (whole - applied).abs().max() < 0.05 and whole.max() > 0.9


PLACES = (-1e7, -5000.5, -300.0, -3.0, 40.0, 5000.0, 1e7)


@pytest.mark.parametrize("side", [3.0, 60.0, 2000.0, 3e6, 1e12])
def test_a_box_may_lie_anywhere_and_be_of_any_size(side):
    """Beside the photograph nothing is pasted, and a face of millions of pixels costs no more than another."""
    photo = torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(0))
    boxes = [(x, y, x + side, y + side) for x in PLACES for y in (-1e5, 20.0)]
    faces = faces_in_boxes([photo], [boxes], [[1.0] * len(boxes)], Seen([], []))
    for face in faces:
        crops = crop_faces([photo], [face], size=64)
        assert crops.pixels.isfinite().all()
        (out,), (mask,) = paste_faces([photo], crops, torch.rand(1, 3, 64, 64))
        assert torch.equal(out[:, mask[0] == 0], photo[:, mask[0] == 0])
        x0, y0, x1, y1 = face.box
        if x1 < 0 or y1 < 0 or x0 > 80 or y0 > 60:
            assert torch.equal(out, photo)
        assert all(region.mask.isfinite().all() for region in crop_regions(crops))


@pytest.mark.parametrize(
    "box", [(0, 0, 5), (0, 0, 0, 9), (5, 5, 1, 9), (0, 0, float("inf"), 9), (0, 0, float("nan"), 9)]
)
def test_boxes_that_are_none(box):
    photo = torch.zeros(3, 20, 20)
    for step in (upright_landmarks, lambda box: faces_in_boxes([photo], [[box]], [[1.0]], Seen([], []))):
        with pytest.raises(ValueError, match="expected x0 < x1 and y0 < y1 in px"):
            step(box)
    with pytest.raises(ValueError, match=r"Got \[0\] scores for \[1\] boxes"):
        faces_in_boxes([photo], [[(0.0, 0.0, 9.0, 9.0)]], [[]], Seen([], []))
