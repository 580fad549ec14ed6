import numpy as np
import pytest
import torch

from lib.learning.adam import adam_path, adam_state, adam_step


def loss(w):
    return (torch.sin(3 * w) + 0.1 * w**2).sum()


@pytest.mark.parametrize("decoupled, optimizer", [(True, torch.optim.AdamW), (False, torch.optim.Adam)])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_300_steps_equal_torch(decoupled, optimizer, dtype, tolerance):
    start = torch.randn(20, dtype=dtype, generator=torch.Generator().manual_seed(0))
    q = torch.nn.Parameter(start.clone())
    theirs = optimizer([q], lr=1e-2, weight_decay=0.1)
    for _ in range(300):
        theirs.zero_grad()
        loss(q).backward()
        theirs.step()
    options = dict(lr=1e-2, weight_decay=0.1, decoupled=decoupled)
    path = adam_path(torch.func.grad(loss), start, 300, **options)
    assert path.shape == (301, 20) and torch.equal(path[0], start)
    assert (path[-1] - q).abs().max() < tolerance and (path[-1] - start).abs().max() > 0.1


def test_a_path_is_its_steps_one_by_one():
    start, rates = torch.linspace(-1, 1, 6).view(2, 3), [0.1, 0.05, 0.01]
    decay = torch.tensor([[0.0], [0.3]])
    path = adam_path(torch.func.grad(loss), start, 3, lr=rates, weight_decay=decay)
    w, state = start, adam_state(start)
    for point, rate in zip(path[1:], rates, strict=True):
        w, state = adam_step(w, torch.func.grad(loss)(w), state, lr=rate, weight_decay=decay)
        assert torch.equal(point, w)
    assert state.step == 3
    assert torch.equal(path, adam_path(torch.func.grad(loss), start, 3, lr=np.array(rates), weight_decay=decay))


def test_the_gradient_may_overwrite_its_argument_and_reuse_its_answer():
    buffer = torch.empty(3)

    def gradient(w):
        buffer.copy_(w)
        w.zero_()
        return buffer

    start = torch.ones(3)
    path = adam_path(gradient, start, 5, lr=0.1)
    assert torch.equal(path, adam_path(lambda w: w, start, 5, lr=0.1)) and torch.equal(start, torch.ones(3))


def test_a_grid_of_models_steps_as_its_members_do():
    gradient = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    w = torch.ones(3, 5)
    rates, decays = torch.tensor([[0.1], [0.2], [0.3]]), torch.tensor([[0.0], [0.1], [0.5]])
    together, _ = adam_step(w, gradient, adam_state(w), lr=rates, weight_decay=decays)
    for i in range(3):
        alone, _ = adam_step(w[i], gradient[i], adam_state(w[i]), lr=rates[i].item(), weight_decay=decays[i].item())
        assert torch.allclose(together[i], alone, atol=1e-7)


@pytest.mark.parametrize("gradient", [1e20, -1e18, 1.0, 1e-4, 1e-18, 0.0])
@pytest.mark.parametrize("decoupled, optimizer", [(True, torch.optim.AdamW), (False, torch.optim.Adam)])
def test_large_and_small_gradients_in_single_precision_are_torchs(gradient, decoupled, optimizer):
    q = torch.nn.Parameter(torch.ones(1))
    q.grad = torch.full((1,), gradient)
    optimizer([q], lr=0.01, weight_decay=0.1).step()
    w = torch.ones(1)
    ours, _ = adam_step(w, q.grad, adam_state(w), lr=0.01, weight_decay=0.1, decoupled=decoupled)
    assert torch.allclose(ours, q.detach(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("gradient", [0.0, 1e-7, 1e-4, 1.0, 6e4])
def test_half_precision_steps_as_single_precision_does_up_to_rounding(dtype, gradient):
    w, g = torch.tensor([1.0, -0.5], dtype=dtype), torch.full((2,), gradient, dtype=dtype)
    ours, state = w, adam_state(w)
    wide, wide_state = w.float(), adam_state(w.float())
    for _ in range(3):
        wide, wide_state = adam_step(ours.float(), g.float(), state, lr=1e-2, weight_decay=0.1)
        ours, state = adam_step(ours, g, state, lr=1e-2, weight_decay=0.1)
        assert ours.dtype == dtype and torch.equal(ours, wide.to(dtype)) and ours.isfinite().all()
        assert torch.equal(state.mean, wide_state.mean) and torch.equal(state.square, wide_state.square)
    assert adam_step(w, g, adam_state(w), lr=1e-8)[0].isfinite().all()


@pytest.mark.parametrize(
    "options, error, words",
    [
        (dict(lr=0.0), ValueError, "lr must be positive and finite, got 0.0"),
        (dict(lr=float("nan")), ValueError, "lr must be positive and finite, got nan"),
        (dict(lr=torch.tensor([0.1, -1.0])), ValueError, "lr must be positive and finite, got -1"),
        (dict(lr=torch.tensor([0.1, torch.inf])), ValueError, "lr must be positive and finite, got inf"),
        (dict(lr=torch.tensor([0.1, torch.nan])), ValueError, "lr must be positive and finite, got nan"),
        (dict(lr=True), TypeError, "lr must be a number, got True"),
        (dict(lr=0.1, weight_decay=-1.0), ValueError, "weight_decay must be finite and not negative, got -1.0"),
        (dict(lr=0.1, weight_decay=torch.tensor([0.0, -0.5])), ValueError, "weight_decay .* got -0.5"),
        (dict(lr=0.1, eps=-1e-8), ValueError, "eps must be finite and not negative, got -1e-08"),
        (dict(lr=0.1, betas=(0.9, 1.0)), ValueError, r"betas\[1\] must lie in \[0, 1\), got 1.0"),
        (dict(lr=0.1, betas=(-0.1, 0.9)), ValueError, r"betas\[0\] must lie in \[0, 1\), got -0.1"),
    ],
)
def test_bad_settings_are_named(options, error, words):
    w = torch.ones(2)
    with pytest.raises(error, match=words):
        adam_step(w, w, adam_state(w), **options)


def test_states_gradients_and_rates_of_another_shape_are_named():
    w = torch.ones(2)
    with pytest.raises(ValueError, match=r"state.mean must be \(2,\) of torch.float32, got \(1,\) of torch.float32"):
        adam_step(w, w, adam_state(torch.ones(1)), lr=0.1)
    with pytest.raises(ValueError, match=r"state.square must be \(2,\) of torch.float32, got \(2,\) of torch.int64"):
        adam_step(w, w, adam_state(w)._replace(square=w.long()), lr=0.1)
    with pytest.raises(ValueError, match=r"state.mean must be \(2,\) of torch.float32, got NoneType"):
        adam_step(w, w, adam_state(w)._replace(mean=None), lr=0.1)
    with pytest.raises(ValueError, match=r"lr / .* must lie in \[0, 3.4"):
        adam_path(lambda w: w, w, 2, lr=1e300)
    with pytest.raises(ValueError, match="lr must be smaller, or gradient return numbers"):
        adam_path(lambda w: w, w, 4, lr=1e30)
    with pytest.raises(TypeError, match="gradient"):
        adam_path(lambda w: w[:1], w, 3, lr=0.1)
    with pytest.raises(TypeError, match="parameters"):
        adam_state(torch.ones(2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"lr must be one rate or one for each of the 3 steps, got shape \(2,\)"):
        adam_path(lambda w: w, w, 3, lr=[0.1, 0.2])
    with pytest.raises(TypeError, match="lr must be a number, got True"):
        adam_path(lambda w: w, w, 3, lr=True)
    with pytest.raises(ValueError, match="lr must be positive and finite, got -0.1"):
        adam_path(lambda w: w, w, 2, lr=[0.1, -0.1])
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        adam_path(lambda w: w, w, 0, lr=0.1)
    with pytest.raises(TypeError, match="steps must be a number, got True"):
        adam_path(lambda w: w, w, True, lr=0.1)
