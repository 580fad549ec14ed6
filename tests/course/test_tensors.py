"""lib.course.tensors: what counts as a law, in every precision, and what a network may return."""

import pytest
import torch

from lib.course.tensors import all_finite, per_row, predict, require_law, require_tokens


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_softmax_over_a_large_vocabulary_is_a_law(dtype):
    for seed in range(5):
        logits = 4 * torch.randn(3, 50_000, generator=torch.Generator().manual_seed(seed))
        require_law("rows", logits.to(dtype).softmax(-1))


@pytest.mark.parametrize("dtype, off", [(torch.float64, 1.1e-6), (torch.float32, 3e-6), (torch.bfloat16, 0.05)])
def test_a_sum_that_rounding_does_not_explain_is_refused(dtype, off):
    for shape in ((4,), (2, 4), (2, 1000, 4)):
        rows = torch.full(shape, 0.25, dtype=dtype)
        require_law("rows", rows)
        rows[..., 2] += off
        with pytest.raises(ValueError, match="rows must not be negative and sum to one"):
            require_law("rows", rows)
        rows[..., 2] = 0.25
        rows.view(-1)[-1] += off  # of one row alone
        with pytest.raises(ValueError, match="rows must not be negative and sum to one"):
            require_law("rows", rows)


@pytest.mark.parametrize("rows", [torch.zeros(0), torch.zeros(2, 0), torch.tensor([1.5, -0.5])])
def test_nothing_and_negative_numbers_are_no_law(rows):
    with pytest.raises(ValueError, match="rows must not be negative and sum to one"):
        require_law("rows", rows)


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_one_entry_is_enough_not_to_be_finite(bad):
    values = torch.ones(3)
    assert all_finite(values) and all_finite(values[:0])
    values[1] = bad
    assert not all_finite(values) and not all_finite(values[1]) and not all_finite(values * 1j)


def test_tokens_are_integers_and_rows_have_an_axis():
    with pytest.raises(TypeError, match="tokens must be integers, got torch.complex64"):
        require_tokens(torch.zeros(2, dtype=torch.complex64), 3)
    with pytest.raises(ValueError, match="t must be one number, or one for each row of x"):
        per_row("t", torch.ones(2), torch.ones(()))


@pytest.mark.parametrize("made, came", [(torch.ones(3, 2), r"\(3, 2\)"), (torch.ones(()), r"\(\)"), (1.0, "float"), (None, "NoneType")])
def test_a_network_that_returns_another_shape_is_refused(made, came):
    with pytest.raises(ValueError, match=rf"network must return the shape of x, \(2, 3\), got {came}"):
        predict(lambda x, time: made, torch.ones(2, 3), 0.5)
