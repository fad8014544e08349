"""Payloads as other packs send them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

SIZES = ((240, 400), (240, 400))
BOX = {"x": 40, "y": 30, "width": 110, "height": 160, "label": "face", "score": 0.75}


@pytest.fixture
def payloads(nodes):
    from resemblance.nodes import payloads

    return payloads


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.array([0.9]), 0.9),
        (np.float32(0.5), 0.5),
        (torch.tensor(0.25), 0.25),
        (torch.tensor([[0.5]]), 0.5),
        ([0.75], 0.75),
        (1, 1.0),
        ("0.5", 0.5),
    ],
)
def test_a_number_in_any_form(payloads, value, wanted):
    assert payloads.number(value) == pytest.approx(wanted) and isinstance(payloads.number(value), float)


@pytest.mark.parametrize("value", [None, [1, 2], np.zeros(3), "much"])
def test_what_is_no_number(payloads, value):
    with pytest.raises((TypeError, ValueError)):
        payloads.number(value)


@pytest.mark.parametrize(
    "corners",
    [
        [1, 2, 3, 4],
        (np.int64(1), 2, 3, 4),
        np.array([1, 2, 3, 4], np.float32),
        np.array([[1, 2, 3, 4]]),
        torch.tensor([1.0, 2, 3, 4]),
        [torch.tensor(n) for n in (1, 2, 3, 4)],
    ],
)
def test_a_box_in_any_form(payloads, corners):
    assert payloads.box_of(corners, -0.5) == (0.5, 1.5, 2.5, 3.5)


@pytest.mark.parametrize(
    ("confidence", "score"), [(np.array([0.9], np.float32), 0.9), (None, 1.0), (1, 1.0), (torch.tensor([0.5]), 0.5)]
)
@pytest.mark.parametrize("bbox", [np.array([40, 30, 150, 190], np.float32), [40, 30, 150, 190], None])
@pytest.mark.parametrize("shape", [(240, 400), [np.int64(240), 400], (240, 400, 3)])
def test_segs_of_the_impact_pack(payloads, confidence, score, bbox, shape):
    # As its detectors make them: the confidence is an array of one number, and NumPy 2 gives no float of that.
    seg = SimpleNamespace(bbox=bbox, crop_region=[40, 30, 150, 190], confidence=confidence, label="face")
    size, boxes, scores = payloads.regions_of_impact((shape, [seg]))
    assert size == (240, 400) and boxes == [(39.5, 29.5, 149.5, 189.5)]
    assert scores == [pytest.approx(score)]


@pytest.mark.parametrize("segs", [None, (), ((240,), []), ((240, 400), [object()]), ((240, 400), None)])
def test_what_are_no_segs(payloads, segs):
    with pytest.raises(ValueError, match="connect an output of the Impact Pack"):
        payloads.regions_of_impact(segs)


def test_boxes_of_core_in_any_form(payloads):
    numbers = {"x": np.array([40]), "y": torch.tensor(30), "width": 110.0, "height": np.int32(160), "score": None}
    for boxes, counts in ((BOX, [1, 1]), ([numbers], [1, 1]), ([[], (numbers,)], [0, 1]), ([], [0, 0])):
        given, scores = payloads.boxes_of_core(boxes, SIZES)
        assert [len(own) for own in given] == counts == [len(own) for own in scores]
        assert all(box == (39.5, 29.5, 149.5, 189.5) for own in given for box in own)


def test_shares_of_the_image_are_told_from_pixels(payloads):
    shares = {"x": 0.1, "y": 0.125, "width": 0.25, "height": 0.5}
    with pytest.raises(ValueError, match=r"lie between 0 and 1.*set units to 'shares of the image'"):
        payloads.boxes_of_core(shares, SIZES)
    given, _ = payloads.boxes_of_core(shares, SIZES, payloads.SHARES)
    assert given == [[pytest.approx((39.5, 29.5, 139.5, 149.5))]] * 2
    with pytest.raises(ValueError, match=r"no shares of the image.*set units to 'px'"):
        payloads.boxes_of_core(BOX, SIZES, payloads.SHARES)


@pytest.mark.parametrize("boxes", [5, [[{"x": 1}]], [[3]], [{**BOX, "x": None}]])
def test_what_are_no_boxes(payloads, boxes):
    with pytest.raises(ValueError, match=r"connect|expected"):
        payloads.boxes_of_core(boxes, SIZES[:1])
    with pytest.raises(ValueError, match="boxes for 3 images, but 2 images"):
        payloads.boxes_of_core([[], [], []], SIZES)


def test_landmarks_of_core_in_any_form(payloads):
    face = {"bbox_xyxy": torch.tensor([40, 30, 150, 190]), "landmarks_xy": np.ones((478, 2)), "score": np.array([0.5])}
    frames = {"frames": [[face], []], "image_size": np.array([240, 400])}
    ((box, points, score),), none = payloads.meshes_of_core(frames, SIZES)
    assert box == (40, 30, 150, 190) and points.shape == (478, 2) and score == 0.5 and none == []
    with pytest.raises(ValueError, match="could not be read"):
        payloads.meshes_of_core({"frames": [[{}]], "image_size": (240, 400)}, SIZES[:1])
    with pytest.raises(ValueError, match="landmarks for 2 images of 400x240, but 2 images of 300x240"):
        payloads.meshes_of_core(frames, ((240, 300), (240, 300)))
