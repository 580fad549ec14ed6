import random

import numpy as np
import pytest
import torch

from lib.course import training


def draws(number):
    rng = training.seed(number)
    return rng.random(), torch.rand(()).item(), np.random.rand(), random.random(), torch.get_num_threads()


def test_a_seed_repeats_everything_and_the_environment_changes_everything(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("COURSE_SEED", raising=False)
    first = draws(7)
    assert draws(7) == first and first[-1] == 1
    monkeypatch.setenv("COURSE_SEED", "3")
    assert all(a != b for a, b in zip(draws(7)[:4], first))
    assert all(a != b for a, b in zip(draws(8)[:4], draws(7)))


def test_a_torch_generator_follows_the_numpy_generator():
    a, b = (torch.rand(3, generator=training.torch_generator(np.random.default_rng(1))) for _ in range(2))
    assert torch.equal(a, b)


def test_fit_takes_the_steps_of_the_optimizer():
    w = torch.nn.Parameter(torch.tensor(1.0))
    losses = training.fit(torch.optim.SGD([w], lr=0.1), lambda: w**2, steps=5)
    assert losses == pytest.approx([0.8 ** (2 * k) for k in range(5)])
    assert w.item() == pytest.approx(0.8**5)


def test_a_loss_that_is_not_finite_stops_with_its_step():
    w = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(FloatingPointError, match="the loss is inf at step 0"):
        training.fit(torch.optim.SGD([w], lr=0.1), lambda: w / 0, steps=3)
