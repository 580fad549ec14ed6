"""lib.course.tensors: what counts as a law, in every precision."""

import pytest
import torch

from lib.course.tensors import require_law


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_softmax_over_a_large_vocabulary_is_a_law(dtype):
    for seed in range(5):
        logits = 4 * torch.randn(3, 50_000, generator=torch.Generator().manual_seed(seed))
        require_law("rows", logits.to(dtype).softmax(-1))


@pytest.mark.parametrize("dtype, off", [(torch.float64, 2e-6), (torch.float32, 3e-6), (torch.bfloat16, 0.05)])
def test_a_sum_that_rounding_does_not_explain_is_refused(dtype, off):
    rows = torch.full((2, 4), 0.25, dtype=dtype)
    require_law("rows", rows)
    rows[1, 2] += off
    with pytest.raises(ValueError, match="rows must not be negative and sum to one"):
        require_law("rows", rows)


@pytest.mark.parametrize("rows", [torch.zeros(0), torch.zeros(2, 0), torch.tensor([1.5, -0.5])])
def test_nothing_and_negative_numbers_are_no_law(rows):
    with pytest.raises(ValueError, match="rows must not be negative and sum to one"):
        require_law("rows", rows)
