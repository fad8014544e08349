import pytest
import torch
from resemblance.core.records import Lookup
from resemblance.core.restorers.table import load_restorer

FACES = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(1))


def test_the_default_fidelity_is_a_half(codeformer):
    outputs = [codeformer.restore(FACES[:1], fidelity) for fidelity in (None, 0.5, 0.0)]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_restoring_is_the_networks_steps(codeformer, tiny_codeformer):
    """Against the steps written out: argmax codes, AdaIN as PyTorch's instance norm would do it, decode, clamp."""
    with torch.no_grad():
        content, skips = tiny_codeformer.encode(FACES[:1])
        codes = tiny_codeformer.predict(content).argmax(-1)
        words = torch.nn.functional.embedding(codes, tiny_codeformer.codebook()).mT.reshape(content.shape)
        n = 16 * 16
        normal = torch.nn.functional.instance_norm(words, eps=1e-5 * (n - 1) / n) * ((n - 1) / n) ** 0.5
        quality = normal * (content.var((2, 3), keepdim=True) + 1e-5).sqrt() + content.mean((2, 3), keepdim=True)
        expected = tiny_codeformer.decode(content, quality, skips, 0.8).clamp(0, 1)
    # The restorer's layout in memory is another one, and random weights amplify rounding.
    torch.testing.assert_close(codeformer.restore(FACES[:1], 0.8), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("fidelity", [-0.1, 1.5, float("nan")])
def test_fidelity_out_of_range(codeformer, fidelity):
    with pytest.raises(ValueError, match="Fidelity was"):
        codeformer.restore(FACES[:1], fidelity)


@pytest.mark.parametrize(
    "faces", [torch.rand(1, 3, 256, 256), torch.rand(3, 512, 512), torch.zeros(1, 3, 512, 512, dtype=torch.uint8)]
)
def test_other_faces_are_refused(codeformer, faces):
    with pytest.raises(ValueError, match=r"expected aligned faces, float, \(N, 3, 512, 512\)"):
        codeformer.restore(faces)


def test_bfloat16_restores_float32(codeformer_file, codeformer):
    restorer = load_restorer(codeformer_file, dtype=torch.bfloat16)
    assert next(restorer.network.parameters()).dtype == torch.bfloat16
    # Random weights have near ties among codes, so content alone is compared.
    content = [r.encode(FACES[:1], Lookup())[0] for r in (restorer, codeformer)]
    assert (content[0] - content[1]).abs().mean() < 0.05 * content[1].std()
    restored = restorer.restore(FACES[:1])
    assert restored.dtype == torch.float32 and restored.isfinite().all()


def test_the_picture_among_the_skips_keeps_its_precision(shipped):
    *_, skips = shipped.encode(FACES, Lookup())
    assert torch.equal(skips.pop(512), FACES)
    assert skips and all(x.dtype == torch.bfloat16 for x in skips.values())
