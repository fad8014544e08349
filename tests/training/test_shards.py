"""A network in several files."""

import torch
from resemblance.core.training.shards import load_shards, save_shards


def test_they_stay_below_their_limit_and_come_back(tmp_path):
    tensors = {f"t{i}": torch.full((100,), float(i)) for i in range(7)} | {"count": torch.tensor(3)}
    assert save_shards(tmp_path, "net", tensors, {"step": "1"}, limit=500) == 4
    back = load_shards(tmp_path, "net")
    assert back.keys() == tensors.keys() and all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert back["t1"].dtype == torch.float32 and not load_shards(tmp_path, "other")
