import pytest
import torch
from resemblance.core.faces.detectors.overlap import overlaps, suppress


def test_overlaps_by_hand():
    a = torch.tensor([[0.0, 0, 10, 10]])
    b = torch.tensor([[5.0, 0, 15, 10], [2, 2, 4, 4], [20, 20, 30, 30]])
    iou, inside = overlaps(a, b)
    assert iou[0].tolist() == pytest.approx([50 / 150, 4 / 100, 0])
    assert inside[0].tolist() == pytest.approx([0.5, 1.0, 0])
    assert overlaps(b, a)[1].flatten().tolist() == pytest.approx([0.5, 0.04, 0])


def test_suppression_keeps_neighbours_and_drops_doubles_and_parts():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [8, 0, 18, 10], [3, 3, 6, 6], [40, 40, 50, 50]])
    assert suppress(boxes, torch.tensor([0.8, 0.9, 0.7, 0.5, 0.6])).tolist() == [1, 2, 4]
    # A part that is a little likelier goes, too; one that is much likelier stays beside the whole.
    assert suppress(boxes, torch.tensor([0.1, 0.8, 0.7, 0.9, 0.6])).tolist() == [1, 2, 4]
    assert suppress(boxes, torch.tensor([0.1, 0.5, 0.4, 0.9, 0.3])).tolist() == [3, 1, 2, 4]
    assert suppress(torch.zeros(0, 4), torch.zeros(0)).tolist() == []
