import numpy as np
import pytest


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
