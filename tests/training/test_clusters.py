import torch
from resemblance.core.training.clusters import kmeans, nearest


def test_kmeans_finds_clusters_and_leaves_alone_what_nobody_takes():
    chance = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0], [10, 0], [0, 10]])
    points = (centres[:, None] + torch.randn(3, 200, 2, generator=chance)).flatten(0, 1)
    words = kmeans(points, torch.tensor([[1.0, 1], [8, 1], [1, 7], [99, 99]]), 5)
    assert torch.allclose(words[:3], points.view(3, 200, 2).mean(1), atol=1e-5)
    assert torch.equal(words[3], torch.tensor([99.0, 99]))
    assert torch.equal(nearest(points, words, at_once=7), torch.arange(3).repeat_interleave(200))
