import shutil

import numpy as np
import pytest
import torch
from resemblance.core.faces.detect import detect_faces, load_detector

# Nose tips of the six, read off the picture by eye at four times its size.
NOSES = ((119, 336), (302, 226), (513, 362), (777, 428), (922, 151), (1171, 346))


def test_facexlib_finds_the_group(retinaface, group, tmp_path, offline):
    shutil.copy(retinaface, tmp_path / "detection_mobilenet0.25_Final.pth")
    detector = load_detector("facexlib", [tmp_path / "nowhere", tmp_path])
    assert detector.name == "facexlib"
    faces = detect_faces([group], detector)
    assert len(faces) == 6
    assert np.abs(np.array([f.landmarks[2] for f in faces]) - NOSES).max() < 12


def test_facexlib_decodes_as_the_library_does(retinaface, group):
    from facexlib.detection.retinaface import RetinaFace

    picture = group[:, :640, :960]
    theirs = RetinaFace(network_name="mobile0.25", device="cpu")
    weights = torch.load(retinaface, map_location="cpu", weights_only=True)
    theirs.load_state_dict({name.removeprefix("module."): value for name, value in weights.items()})
    bgr = (picture.flip(0).permute(1, 2, 0) * 255).numpy()
    with torch.no_grad():
        expected = theirs.detect_faces(bgr, conf_threshold=0.9)
    boxes, points, scores = load_detector("facexlib", retinaface.parent).backend.find(picture, 0.9)
    assert len(boxes) == len(expected) >= 4
    torch.testing.assert_close(boxes, torch.from_numpy(expected[:, :4]).float(), atol=0.01, rtol=0)
    torch.testing.assert_close(scores, torch.from_numpy(expected[:, 4]).float(), atol=1e-4, rtol=0)
    torch.testing.assert_close(points.flatten(1), torch.from_numpy(expected[:, 5:]).float(), atol=0.01, rtol=0)


def test_other_weights_under_facexlibs_name_are_refused(tmp_path):
    pytest.importorskip("facexlib.detection.retinaface")
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "detection_Resnet50_Final.pth")
    with pytest.raises(ValueError, match="RetinaFace"):
        load_detector("facexlib", tmp_path)
