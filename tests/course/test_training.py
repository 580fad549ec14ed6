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


@pytest.mark.parametrize("text, threads", [("4,2", 4), ("3", 3), (" 2 , 1", 2), ("", 1), ("  ", 1)])
def test_threads_may_be_a_list_or_empty(monkeypatch, text, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    before = torch.get_num_threads()
    try:
        assert draws(7)[-1] == threads
    finally:
        torch.set_num_threads(before)


def test_an_empty_course_seed_is_unset(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("COURSE_SEED", raising=False)
    first = draws(7)
    for text in ("", " ", "0", " 0 "):
        monkeypatch.setenv("COURSE_SEED", text)
        assert draws(7) == first
    monkeypatch.setenv("COURSE_SEED", str(2**70))
    assert draws(7) != first


@pytest.mark.parametrize(
    "name, text",
    [
        *[("COURSE_SEED", text) for text in ("-1", "1.5", "one", "1e3", "None", "²")],
        *[("OMP_NUM_THREADS", text) for text in ("0", "-2", "four", "1.5", ",2", "0,4", "9999999999")],
    ],
)
def test_a_variable_that_is_no_number_is_named_and_nothing_is_seeded(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    before = torch.get_rng_state(), random.getstate()
    expected = "of at least 0" if name == "COURSE_SEED" else "from 1 to 1024"
    message = f"the environment variable {name} must be a whole number {expected}, or unset, got '{text}'"
    with pytest.raises(ValueError, match=message):
        training.seed(7)
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]


def test_a_chapter_has_no_negative_number_and_may_be_the_first():
    assert draws(0) != draws(1)
    with pytest.raises(ValueError, match="number must be at least 0, got -7"):
        training.seed(-7)


def trained_for_a_while():
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    training.fit(optimizer, lambda: layer(torch.ones(4, 3)).square().mean(), steps=3)
    return layer, optimizer


def everything(layer, optimizer):
    entries = [*layer.parameters(), *(p.grad for p in layer.parameters())]
    entries += [value for state in optimizer.state.values() for value in state.values()]
    return [entry.detach().clone() for entry in entries], [group["lr"] for group in optimizer.param_groups]


def bad_losses(layer):
    """Losses that go wrong at their third call, by name."""
    calls = iter(range(100))
    fine = lambda: layer(torch.ones(4, 3)).square().mean()  # noqa: E731
    third = lambda wrong: lambda: wrong() if next(calls) == 2 else fine()  # noqa: E731
    return {
        "nan": (third(lambda: fine() * torch.nan), FloatingPointError, "the loss is nan at step 2"),
        "inf": (third(lambda: fine() / 0), FloatingPointError, "the loss is inf at step 2"),
        "many": (third(lambda: layer(torch.ones(4, 3))), ValueError, r"loss must return a tensor with one number"),
        "float": (third(lambda: 1.5), ValueError, "loss must return a tensor with one number, got 1.5"),
        "own error": (third(lambda: 1 / 0), ZeroDivisionError, "division"),
        "no gradient": (third(lambda: torch.tensor(1.0)), ValueError, "loss must depend on the parameters"),
        "gradient": (third(lambda: fine().mul(0).sqrt().sum()), FloatingPointError, "the loss is nan at step 3"),
    }


@pytest.mark.parametrize("name", bad_losses(None))
def test_after_an_error_model_and_optimiser_are_what_they_were(name):
    layer, optimizer = trained_for_a_while()
    want, rates = everything(layer, optimizer)
    loss, error, message = bad_losses(layer)[name]
    with pytest.raises(error, match=message):
        training.fit(optimizer, loss, steps=5)
    got, same_rates = everything(layer, optimizer)
    assert len(want) == 4 + 6 and all(torch.equal(a, b) for a, b in zip(got, want, strict=True)) and rates == same_rates


def test_an_optimiser_that_never_stepped_is_as_new_after_an_error():
    w = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.Adam([w], lr=0.1)
    with pytest.raises(FloatingPointError):
        training.fit(optimizer, lambda: w / (w > 0.95), steps=3)
    assert w.item() == 1 and w.grad is None and not optimizer.state


def test_a_last_step_that_spoils_a_parameter_is_an_error():
    w = torch.nn.Parameter(torch.tensor(0.0))
    with pytest.raises(FloatingPointError, match="a parameter is not finite after step 0"):
        training.fit(torch.optim.SGD([w], lr=0.1), lambda: (w**2).sqrt(), steps=1)
    assert w.item() == 0
