import pytest
import torch
from resemblance.core.finite import is_finite


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool]
)
def test_numbers(dtype):
    assert is_finite(torch.ones(70000, dtype=dtype))  # whose sum float16 cannot hold
    assert is_finite(torch.ones(0, dtype=dtype))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_no_numbers(bad, dtype):
    x = torch.ones(9, 9, dtype=dtype)
    x[4, 7] = bad
    assert not is_finite(x)


def test_large_numbers_whose_sum_is_infinite():
    assert is_finite(torch.full((9,), 3e38)) and is_finite(torch.tensor([1e300], dtype=torch.float64))
    assert not is_finite(torch.tensor([torch.inf, -torch.inf]))
