import pytest
import torch
from resemblance.core.faces.crop import face_mask
from resemblance.core.training.regions import gradient_energy


def test_gradient_energy_of_a_ramp():
    ramp = torch.arange(512.0).expand(1, 3, 512, 512) / 10
    assert gradient_energy(torch.cat([ramp, 2 * ramp])).tolist() == pytest.approx([0.01, 0.04], rel=1e-3)
    # What lies beside the face does not count.
    noisy = torch.where(face_mask()[None] > 0, ramp, torch.rand(1, 3, 512, 512))
    assert float(gradient_energy(noisy)[0]) == pytest.approx(0.01, rel=0.1)
