import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

if not all(map(importlib.util.find_spec, ("cv2", "onnx"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training import calibration, embedding_table
from resemblance.core.training.embedding_table import first, means_of, passing, passing_means
from stand_ins import embed, some_trials


def test_shares_that_pass_are_those_counted_by_hand():
    made, person = some_trials(people=6, photographs=3, noise=0.8)
    clean, damaged = made.embedded(embed)
    bad = damaged["severe"]
    pairs = [(i, j) for i in range(18) for j in range(18) if i != j]
    strangers = sorted(float(bad[i] @ clean[j]) for i, j in pairs if person[i] != person[j])
    least = np.quantile(strangers, 0.99)
    own = [float(bad[i] @ clean[j]) >= least for i, j in pairs if person[i] == person[j]]
    assert passing(bad, clean, person) == pytest.approx(np.mean(own))
    means = means_of(clean, person)
    assert torch.allclose(means[0], F.normalize(clean[1] + clean[2], dim=0), atol=1e-6)
    assert passing_means(clean, means, person) >= passing_means(bad, means, person)
    everybody_right, _ = some_trials(people=6, photographs=3, noise=0.01)
    clean, damaged = everybody_right.embedded(embed)
    assert first(damaged["severe"], clean, person) == 1
    assert first(damaged["severe"].flip(0), clean, person) == 0  # six people, in reverse: nobody is right


def test_weights_and_checkpoints_give_the_same_network(tmp_path: Path):
    net = embedding_table.network_of(calibration.Path(embedding_table.WEIGHTS))
    torch.save({"average": net.state_dict()}, tmp_path / "embedding.pt")
    save_file({name: x.contiguous() for name, x in net.state_dict().items()}, tmp_path / "embedding.safetensors")
    crops = torch.rand(1, 3, 112, 112)
    for path in ("embedding.pt", "embedding.safetensors"):
        assert torch.equal(embedding_table.network_of(tmp_path / path).embed(crops), net.embed(crops))
