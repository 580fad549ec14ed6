"""What the chapter on Adam and AdamW says of torch's optimisers."""

import pytest
import torch

STALE = f"torch {torch.__version__}: the row of book/learning/adam-vs-adamw.ipynb no longer holds"


def after(gradients, dtype, **options):
    """A weight that starts at 1, after each step of AdamW on the given gradients."""
    w, path = torch.nn.Parameter(torch.ones(1, dtype=dtype)), []
    optimizer = torch.optim.AdamW([w], **options)
    for gradient in gradients:
        w.grad = torch.full_like(w, gradient)
        optimizer.step()
        path.append(w.item())
    return path


def test_only_adamw_decays_by_default():
    w = [torch.nn.Parameter(torch.ones(1))]
    decays = [kind(w).defaults["weight_decay"] for kind in (torch.optim.AdamW, torch.optim.Adam)]
    assert decays == [0.01, 0], STALE


def test_decay_rounds_away_in_bfloat16():
    options = dict(lr=1e-3, weight_decay=0.1)
    assert after([0.0] * 100, torch.bfloat16, **options)[-1] == 1, STALE
    assert after([0.0] * 100, torch.float32, **options)[-1] < 0.991, STALE


@pytest.mark.parametrize("gradient, result", [(0.0, float("nan")), (1e-4, float("-inf")), (1e4, 1.0)])
def test_float16_leaves_nothing_of_small_and_large_gradients(gradient, result):
    (end,) = after([gradient], torch.float16, lr=0.1, weight_decay=0.0)
    assert end == pytest.approx(result, nan_ok=True), STALE


def test_a_gradient_whose_square_overflows_gives_no_step():
    assert after([1e25], torch.float32, lr=0.1, weight_decay=0.0) == [1], STALE


def test_the_rate_of_amsgrad_can_grow():
    w = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer, rates = torch.optim.AdamW([w], amsgrad=True), []
    for gradient in [1.0] + [1e-6] * 9:
        w.grad = torch.full_like(w, gradient)
        optimizer.step()
        state = optimizer.state[w]
        rates.append(1 / (state["max_exp_avg_sq"] / (1 - 0.999 ** state["step"])).sqrt().item())
    assert rates[-1] / rates[0] > 3, STALE
    steps = -torch.tensor(after([1.0] + [1e-6] * 9, torch.float64, lr=1.0, weight_decay=0.0, amsgrad=True, betas=(0.0, 0.999))).diff()
    assert steps[-1] / steps[0] > 2, STALE
