import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lib.course.causes import cause
from lib.course.shapes import Float, Int, checked, checked_after_errors


@checked
def added(x: Tensor, y: Tensor) -> Tensor:
    return x + y


@checked
def zeros(count: int, factor: float = 1.0) -> Tensor:
    return torch.zeros(count) * factor**2


@checked
def repeated(x: Tensor, count: int) -> Tensor:
    return x.repeat(count)


@checked
def drawn(count: int, generator: torch.Generator, rng: np.random.Generator, *, most: int = 3) -> Tensor:
    numbers = torch.rand(count, generator=generator) + float(rng.random())
    if count > most:
        raise ValueError(f"count must be at most {most}, got {count}")
    return numbers


@checked
def outer(first: Tensor, second: Tensor) -> Tensor:
    return added(first, second)


@checked
def applied(function: Callable, x: Tensor) -> Tensor:
    return function(x)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    @checked_after_errors
    def forward(self, x: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 2"]:
        return self.linear(x)


@pytest.mark.parametrize(
    "call, kind, words",
    [
        (lambda: zeros(2**63), ValueError, "count must be below 2\\^63 in size, got 9223372036854775808"),
        (lambda: zeros(2, 1e300), ValueError, "factor must be smaller, or the result overflows, got 1e\\+300"),
        (lambda: added(torch.ones(2), torch.ones(2, device="meta")).item(), ValueError, "y must hold values, got a tensor on the meta device"),
        (lambda: added(torch.ones(2), torch.ones(3)), ValueError, "x and y must be of sizes that fit, got x \\(2,\\), y \\(3,\\)"),
        (lambda: outer(torch.ones(2), torch.ones(2, device="meta")), ValueError, "second must hold values"),
        (lambda: Layer()(torch.ones(3, 2, dtype=torch.float64)), TypeError, "x must have the precision of the weights, torch.float32, got torch.float64"),
        (lambda: Layer()(torch.ones(3, 2, dtype=torch.int64)), TypeError, "parameters of .*forward(.|\n)*'x'"),
        (lambda: Layer()("word"), TypeError, "parameters of .*forward(.|\n)*'x'"),
    ],
)
def test_an_error_of_torch_becomes_one_that_names_the_argument(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_other_errors_stay_as_they_are():
    assert cause(RuntimeError("deep inside"), added, (torch.ones(2), torch.ones(3)), {}) is None
    with pytest.raises(RuntimeError, match="size of tensor"):
        applied(lambda x: x + torch.ones(3), torch.ones(2))


def test_where_there_is_no_memory_no_argument_has_a_wrong_size():
    with pytest.raises(RuntimeError, match="Storage size calculation overflowed"):
        repeated(torch.ones(1), 2**62)


def test_after_an_error_generators_are_where_they_were():
    generator, rng = torch.Generator().manual_seed(1), np.random.default_rng(1)
    before = generator.get_state(), rng.bit_generator.state
    with pytest.raises(ValueError, match="count must be at most 3"):
        drawn(4, generator, rng=rng)
    assert torch.equal(generator.get_state(), before[0]) and rng.bit_generator.state == before[1]
    drawn(3, generator, rng=rng)
    assert not torch.equal(generator.get_state(), before[0]) and rng.bit_generator.state != before[1]


def test_a_refused_sequence_leaves_pythons_random_state():
    @checked
    def total(values: list[int]) -> int:
        return sum(values)

    random.seed(1)
    state = random.getstate()
    with pytest.raises(TypeError, match="values"):
        total(["a", "b"])
    assert random.getstate() == state


def test_what_is_checked_after_errors_costs_nothing_before():
    looked = []

    class Looked(Tensor):
        @property
        def shape(self):
            looked.append(True)
            return super().shape

    @checked_after_errors
    def same(x: Int[Tensor, "n"]) -> Tensor:
        return x

    assert same(torch.ones(2).as_subclass(Looked)) is not None and not looked
    for decorator in (checked, checked_after_errors):
        with pytest.raises(TypeError, match="function must be callable"):
            decorator(3)
