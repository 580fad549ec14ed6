import numpy as np
import pytest
import torch

from lib.foundations.stochastic_approximation import robbins_monro


def test_a_running_mean_is_the_mean_and_is_sgd_with_the_same_samples():
    samples = np.random.default_rng(0).normal(size=(50, 1))
    draws = iter(samples)
    path = robbins_monro(lambda w, rng: w - next(draws), np.zeros(1), lambda k: 1 / k, 50, np.random.default_rng(0))
    assert path.shape == (51, 1)
    assert path[-1] == pytest.approx(samples.mean(0), abs=1e-14)
    w = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=1.0)
    for k, sample in enumerate(samples, 1):
        optimizer.param_groups[0]["lr"] = 1 / k
        optimizer.zero_grad()
        (0.5 * (w - torch.from_numpy(sample)) ** 2).sum().backward()
        optimizer.step()
        assert w.item() == pytest.approx(path[k, 0], abs=1e-12)


def test_replicas_find_the_root():
    noisy = lambda w, rng: np.tanh(w - 1) + rng.normal(size=w.shape)
    last = robbins_monro(noisy, np.full(500, 3.0), lambda k: 1 / k, 2000, np.random.default_rng(1))[-1]
    assert abs(last.mean() - 1) < 5 * last.std() / np.sqrt(500)


def test_divergence_is_a_result():
    path = robbins_monro(lambda w, rng: w**3, np.array([10.0]), lambda k: 1.0, 20, np.random.default_rng(0))
    assert not np.isfinite(path[-1, 0])


def run(noisy, start, step=lambda k: 0.5, count=3, rng=None):
    return robbins_monro(noisy, np.array(start), step, count, rng or np.random.default_rng(0))


def test_the_noise_function_may_overwrite_its_argument_and_reuse_its_answer():
    def overwrites(w, rng):
        w -= 1
        return w

    assert run(overwrites, [5.0])[:, 0].tolist() == [5, 3, 2, 1.5]
    buffer = np.empty(2)

    def reuses(w, rng):
        buffer[:] = w - 1
        return buffer

    path = run(reuses, [5.0, 1.0])
    buffer[:] = np.nan
    assert path.tolist() == [[5, 1], [3, 1], [2, 1], [1.5, 1]]


@pytest.mark.parametrize("step", [np.int8(100), np.float16(100), 100, 100.0])
def test_narrow_numbers_do_not_wrap(step):
    path = run(lambda w, rng: np.array([2], dtype=np.int8), [0.0], lambda k: step, 1)
    assert path[:, 0].tolist() == [0, -200]


@pytest.mark.parametrize("noise", [0.5, np.zeros(1), np.zeros((4, 1)), np.zeros(4, dtype=bool), None, ["a"] * 4])
def test_noise_of_another_shape_or_kind_is_refused(noise):
    with pytest.raises(ValueError, match=r"noisy must return real numbers of shape \(4,\), got shape"):
        run(lambda w, rng: noise, np.zeros(4))


@pytest.mark.parametrize("bad, error", [(0, ValueError), (np.nan, ValueError), (np.inf, ValueError), (True, TypeError), (np.ones(2), TypeError)])
def test_a_bad_step_is_refused_before_anything_is_drawn(bad, error):
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    with pytest.raises(error, match=r"step\(3\) must be"):
        run(lambda w, rng: w + rng.normal(size=w.shape), [0.0, 1.0], lambda k: bad if k == 3 else 0.1, 5, rng)
    assert rng.bit_generator.state == before


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"step\(1\) must be positive and finite, got 0"):
        robbins_monro(lambda w, rng: w, np.zeros(1), lambda k: 0, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="count must be at least 1"):
        robbins_monro(lambda w, rng: w, np.zeros(1), lambda k: 1, 0, np.random.default_rng(0))
