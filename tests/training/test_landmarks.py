import importlib.util

import numpy as np
import pytest
from host_server import ROOT

if not all(map(importlib.util.find_spec, ("cv2", "onnxruntime"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.files.images import read_photo
from resemblance.core.geometry import TEMPLATE
from resemblance.core.training.landmarks import Landmarks, read_landmarks


def test_the_points_of_an_aligned_face_lie_about_its_template(assets):
    photo = read_photo(ROOT / "nodes/examples/woman_truth.jpg").pixels[None]
    face = crop_faces(photo, detect_faces(photo, backend="built-in")).pixels[0]
    points = Landmarks(assets)((face.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    assert points.shape == (106, 2)
    left, right, nose, one, other = np.array(TEMPLATE)
    for rows, expected in ((slice(33, 43), left), (slice(87, 97), right), (slice(52, 72), (one + other) / 2)):
        assert np.abs(points[rows].mean(0) - expected).max() < 20
    outline = points[:33]
    assert (
        outline[:, 1].max() > max(one[1], other[1]) and outline[:, 0].min() < left[0] < right[0] < outline[:, 0].max()
    )
    assert nose[1] < points[52:72, 1].mean()


def test_they_are_read_as_they_are_kept(tmp_path):
    points = np.random.default_rng(0).random((3, 106, 2), np.float32)
    np.save(tmp_path / "references_landmarks.npy", points)
    assert np.array_equal(read_landmarks(tmp_path, "references"), points)
