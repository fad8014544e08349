import numpy as np
import pytest
import torch
from by_hand import LANDMARKS


def test_boxes_of_core_come_in_three_forms(run, photos):
    box = {"x": 40, "y": 30, "width": 110, "height": 160, "label": "face", "score": 0.75}
    for boxes, images in (
        (box, [0, 1]),
        ([box], [0, 1]),
        ([[box]], [0, 1]),
        ([[], [box]], [1]),
        ([], []),
        ([[], []], []),
    ):
        faces = run("FacesFromBoxes", image=photos, boxes=boxes)[0]
        assert [face.image for face in faces.faces] == images, boxes
        assert faces.photos == ((240, 400), (240, 400))
    face = run("FacesFromBoxes", image=photos, boxes=box)[0].faces[0]
    assert face.box == (39.5, 29.5, 149.5, 189.5) and face.score == 0.75 and face.quality is not None
    # Nothing is seen in these pictures, so a face stands upright in the middle of its box.
    (x0, y0), (x1, y1) = face.landmarks[:2]
    assert y0 == pytest.approx(y1, abs=0.2) and (x0 + x1) / 2 == pytest.approx(94.5, abs=0.5) and 35 < x1 - x0 < 60


def test_face_landmarks_of_core_become_five_points(run, photos):
    mesh = torch.full((478, 2), -1e6)  # a point that is taken by mistake shows
    left = [33, 133, 160, 159, 158, 157, 173, 144, 145, 153, 154, 155, 163, 7, 246, 161]
    right = [263, 362, 387, 386, 385, 384, 398, 373, 374, 380, 381, 382, 390, 249, 466, 388]
    for points, middle in ((left, LANDMARKS[0]), (right, LANDMARKS[1])):
        angle = torch.arange(16) * (2 * torch.pi / 16)
        mesh[points] = torch.stack([middle[0] + 9 * angle.cos(), middle[1] + 4 * angle.sin()], -1)
    mesh[1], mesh[61], mesh[291] = (torch.tensor(LANDMARKS[n]) for n in (2, 3, 4))
    face = {"bbox_xyxy": [40, 30, 150, 190], "landmarks_xy": mesh.numpy(), "score": 0.8, "presence": 1.0}
    landmarks = {"frames": [[], [face]], "image_size": (240, 400), "connection_sets": {}}
    faces = run("FacesFromBoxes", image=photos, landmarks=landmarks)[0]
    assert [(f.image, f.index, f.score) for f in faces.faces] == [(1, 0, 0.8)]
    assert np.allclose(faces.faces[0].landmarks, LANDMARKS, atol=1e-3)
    with pytest.raises(ValueError, match="landmarks for 2 images of 400x240, but 1 images of 400x240"):
        run("FacesFromBoxes", image=photos[:1], landmarks=landmarks)


def test_boxes_without_a_face_are_refused(run, photos):
    with pytest.raises(ValueError, match="In none of the 2 boxes a face was seen"):
        run("FacesFromBoxes", image=photos, boxes={"x": 150, "y": 0, "width": 60, "height": 240})
    with pytest.raises(ValueError, match="set units to 'shares of the image'"):
        run("FacesFromBoxes", image=photos, boxes={"x": 0.1, "y": 0.1, "width": 0.25, "height": 0.5})
    shares = {"x": 0.1, "y": 0.125, "width": 0.275, "height": 0.6667}
    faces = run("FacesFromBoxes", image=photos, boxes=shares, units="shares of the image")[0]
    assert len(faces) == 2 and faces.faces[0].box == pytest.approx((39.5, 29.5, 149.5, 189.5), abs=0.02)


def test_measuring_can_be_stopped(run, photos, comfy, monkeypatch):
    from resemblance.nodes import progress

    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 4:  # two for the first photograph's face, then within the second
            raise InterruptedError

    monkeypatch.setattr(progress.model_management, "throw_exception_if_processing_interrupted", stop)
    box = {"x": 40, "y": 30, "width": 110, "height": 160}
    with pytest.raises(InterruptedError):
        run("FacesFromBoxes", image=photos[:1], boxes=[[box] * 9])
    assert len(calls) == 4
