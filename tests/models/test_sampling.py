from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from resemblance.core.models import sampling
from torch.nn import functional as F

# What mps, DirectML or older CUDA lack, or have in some versions only.
MISSING = {
    "repeated borders": r"padding_mode=\"(border|reflection)\"",
    "bicubic sampling": r"\"bicubic\"",
    "resizing with a filter": r"antialias=True",
    "double precision on the device": r"\.double\(\)|torch\.complex|fft",
    "matrix decompositions": r"torch\.linalg\.(svd|qr|eig|inv|solve)",
    "order statistics": r"\.(quantile|median|nanmedian|histc)\(",
}


def test_it_is_sampling_with_a_repeated_border() -> None:
    dice = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 3, 9, 16, generator=dice, requires_grad=True)
    grid = (torch.rand(2, 7, 5, 2, generator=dice) * 3 - 1.5).requires_grad_()
    expected = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    found = sampling.sample(pictures, grid)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    wanted, got = (torch.autograd.grad(x.square().sum(), [pictures, grid]) for x in (expected, found))
    torch.testing.assert_close(got[0], wanted[0], rtol=0, atol=1e-4)
    inside = grid.detach().abs() < 0.88
    torch.testing.assert_close(got[1][inside], wanted[1][inside], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("file", sorted(Path(sampling.__file__).parent.glob("*.py")), ids=lambda file: file.stem)
def test_networks_use_what_every_device_has(file: Path) -> None:
    text = re.sub(r'"""[\s\S]*?"""', "", file.read_text(encoding="utf-8"))
    assert not {name for name, pattern in MISSING.items() if re.search(pattern, text)}
