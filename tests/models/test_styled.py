import torch
from resemblance.core.models.styled import synthesize_wavelet


def test_wavelet_bands_are_sums_and_differences():
    x = torch.randn(2, 8, 3, 3)
    picture = synthesize_wavelet(x)
    a, b, c, d = (picture[..., i::2, j::2] for i in (0, 1) for j in (0, 1))  # the four of each square, in reading order
    assert torch.allclose((a + b + c + d) / 2, x[:, :2], atol=1e-6)
    for band, value in enumerate((a + b - c - d, a - b + c - d, a - b - c + d)):
        assert torch.allclose(value / 2, x[:, 2 + band :: 3], atol=1e-6)
