import math

import pytest
import torch
from resemblance.core.models.detector import DetectorConfig, FaceDetector, fold, places

SMALL = DetectorConfig(widths=(4, 4, 8, 8, 8), blocks=(0, 1, 1, 1), neck=8)


def test_places_by_hand():
    centres, strides = places([(2, 3), (1, 1), (1, 1)], torch.device("cpu"))
    # The first place of stride 8 covers pixels 0 to 7, whose middle is 3.5; stride 32 covers 0 to 31.
    assert centres.tolist() == [
        [3.5, 3.5],
        [11.5, 3.5],
        [19.5, 3.5],
        [3.5, 11.5],
        [11.5, 11.5],
        [19.5, 11.5],
        [7.5, 7.5],
        [15.5, 15.5],
    ]
    assert strides.flatten().tolist() == [8] * 6 + [16, 32]


def test_predictions_by_hand():
    network = FaceDetector(SMALL).eval()
    torch.nn.init.zeros_(network.head.weight)
    # Middle half a stride to the right, twice as wide as the stride, as high as it; the nose a stride below the place.
    values = [1.5, 0.5, 0.0, math.log(2), 0.0, -1, 0, 1, 0, 0, 1, -1, 2, 1, 2]
    network.head.bias.data = torch.tensor(values, dtype=torch.float32)
    logits, boxes, points = network(torch.rand(2, 3, 32, 64))
    assert logits.shape == (2, 32 + 8 + 2) and boxes.shape == (2, 42, 4) and points.shape == (2, 42, 5, 2)
    assert boxes[1, 1].tolist() == pytest.approx([11.5 + 4 - 8, 3.5 - 4, 11.5 + 4 + 8, 3.5 + 4])
    assert points[0, 32].tolist() == [[-8.5, 7.5], [23.5, 7.5], [7.5, 23.5], [-8.5, 39.5], [23.5, 39.5]]
    assert logits.unique().tolist() == [1.5]


def test_folding_changes_nothing():
    torch.manual_seed(0)
    network = FaceDetector(DetectorConfig(SMALL.widths, SMALL.blocks, SMALL.neck, normalise=True))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    picture = torch.rand(1, 3, 64, 96)
    for a, b in zip(network.eval()(picture), fold(network)(picture), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)
    assert not any("norm" in name for name in fold(network).state_dict())
