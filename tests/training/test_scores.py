import importlib.util

import numpy as np
import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips", "skimage"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.faces.crop import face_mask
from resemblance.core.training.data import to_tensor
from resemblance.core.training.scores import Judges, kid, mean_lab


def test_numbers_of_plain_pictures_are_the_formulas():
    judges = Judges(None, ("psnr", "ssim", "lab"))
    faces, truth = torch.full((1, 3, 512, 512), 102 / 255), torch.full((1, 3, 512, 512), 153 / 255)
    scores = judges(faces, truth)
    assert scores["psnr"][0] == pytest.approx(20 * np.log10(255 / 51), abs=1e-4)
    # Without variance only the means are compared: (2ab + C) / (a² + b² + C), C = 0.01².
    assert scores["ssim"][0] == pytest.approx((2 * 0.4 * 0.6 + 1e-4) / (0.4**2 + 0.6**2 + 1e-4), abs=1e-4)


def test_the_colour_of_a_face_is_that_of_skimage_within_its_mask():
    from skimage.color import rgb2lab

    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    mask = face_mask()[0].numpy()
    expected = np.average(rgb2lab(picture).reshape(-1, 3), axis=0, weights=mask.flatten())
    assert mean_lab(to_tensor([picture]))[0].numpy() == pytest.approx(expected, abs=0.02)
    outside = torch.where(face_mask()[None] > 0, to_tensor([picture]), torch.zeros(1))
    assert mean_lab(outside)[0].numpy() == pytest.approx(expected, abs=0.02)


def test_kid_is_zero_for_one_set_and_counts_every_other_pair():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 5, 4))

    def others(a, b):
        return np.mean([(a[i] @ b[j] / 4 + 1) ** 3 for i in range(5) for j in range(5) if i != j])

    expected = 1000 * (others(x, x) + others(y, y) - 2 * others(x, y))
    assert kid(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected)
    assert kid(torch.from_numpy(x), torch.from_numpy(x)) == pytest.approx(0, abs=1e-9)
