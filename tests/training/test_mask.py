import pytest
import torch
from resemblance.core.training.mask import Mask


def test_the_mask_meets_both_ends_and_is_the_same_on_both_sides():
    mask = Mask(4)
    assert torch.equal(mask(), torch.full((1, 1, 4, 4), 0.5))
    with torch.no_grad():
        mask.logits[0, 0, 0] = -20
        mask.logits[0, 0, 1] = 20
        mask.logits[0, 0, 2, 0] = 1
    assert not mask()[0, 0, 0].any()
    assert (mask()[0, 0, 1] == 1).all()
    # 1.2·sigmoid(1/2) - 0.1
    assert mask()[0, 0, 2].tolist() == pytest.approx([0.646951, 0.5, 0.5, 0.646951], abs=1e-5)
