import numpy as np
import pytest
from resemblance.core.training.detector_eval import compare


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
