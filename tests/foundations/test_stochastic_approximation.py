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


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"step\(1\) must be positive and finite, got 0"):
        robbins_monro(lambda w, rng: w, np.zeros(1), lambda k: 0, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="count must be at least 1"):
        robbins_monro(lambda w, rng: w, np.zeros(1), lambda k: 1, 0, np.random.default_rng(0))
