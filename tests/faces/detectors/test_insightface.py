import shutil

import numpy as np
from resemblance.core.faces.detect import detect_faces, load_detector

# Nose tips of the six, read off the picture by eye at four times its size.
NOSES = ((119, 336), (302, 226), (513, 362), (777, 428), (922, 151), (1171, 346))


def test_insightface_finds_the_group(scrfd, group, tmp_path, offline):
    pack = tmp_path / "insightface" / "models" / "buffalo_x"
    pack.mkdir(parents=True)
    shutil.copy(scrfd, pack / "scrfd_500m_bnkps.onnx")
    detector = load_detector("insightface", tmp_path)
    assert detector.name == "insightface"
    faces = detect_faces([group], detector)
    assert len(faces) == 6
    assert np.abs(np.array([f.landmarks[2] for f in faces]) - NOSES).max() < 8
