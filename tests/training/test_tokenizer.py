import importlib.util

import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training.tokenizer import Tokenizer


def test_kmeans_finds_clusters_and_following_keeps_them():
    torch.manual_seed(0)
    tokenizer = Tokenizer()
    codes, latent = tokenizer.net.embedding.shape
    centres = torch.randn(codes, latent) * 10
    flat = centres.repeat(4, 1) + 0.01 * torch.randn(4 * codes, latent)
    tokenizer.kmeans(flat)
    distance = torch.cdist(centres, tokenizer.net.embedding).amin(1)
    assert (distance < 0.1).float().mean() > 0.55  # random starts leave some clusters shared: 1 - 1/e of them are hit
    words, numbers = tokenizer.nearest(flat[: 8 * 64].T.reshape(1, latent, 8, 64))
    assert words.shape == (1, latent, 8, 64)
    before = tokenizer.net.embedding.clone()
    tokenizer.follow(words, numbers)
    # What took each word is that word, so its mean is, too; and after one step no other is idle.
    torch.testing.assert_close(tokenizer.net.embedding, before, rtol=1e-4, atol=1e-4)
