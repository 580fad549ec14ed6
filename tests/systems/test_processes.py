"""lib.systems.processes: results by rank, exchanged tensors, and what is left after an error."""

import os
import time

import pytest
import torch

from lib.systems import processes
from lib.systems.processes import on_processes


def exchange(x, sent, received):
    arriving = torch.empty(sum(received), x.shape[1], dtype=x.dtype)
    dist.all_to_all_single(arriving, x, received, sent)  # noqa: F821
    return twice(arriving), dist.get_rank()  # noqa: F821


def double(x, factor=2):
    return factor * x


def fail_at(rank, other):
    if dist.get_rank() == rank:  # noqa: F821
        raise ValueError("this one fails")
    dist.barrier()  # noqa: F821


def sleep_at(rank):
    if dist.get_rank() == rank:  # noqa: F821
        __import__("time").sleep(60)


def fail_or_sleep(rank):
    if dist.get_rank() == rank:  # noqa: F821
        raise ValueError("this one fails")
    __import__("time").sleep(60)


def leave_or_sleep(rank):
    if dist.get_rank() == rank:  # noqa: F821
        __import__("os")._exit(0)
    __import__("time").sleep(60)


def fail_late():
    __import__("time").sleep(0.5 * dist.get_rank())  # noqa: F821
    raise ValueError("late")


def own_number():
    return __import__("os").getpid()


def test_rows_go_where_they_are_sent():
    x = torch.arange(10.0, dtype=torch.float64).view(5, 2)
    inputs = [(x[:3], [1, 2], [1, 0]), (x[3:], [0, 2], [2, 2])]
    (first, zero), (second, one) = on_processes(exchange, inputs, {"twice": double})
    assert (zero, one) == (0, 1)
    assert torch.equal(first, 2 * x[:1])
    assert torch.equal(second, 2 * torch.cat([x[1:3], x[3:]]))


def test_a_failing_process_ends_all():
    with pytest.raises(RuntimeError, match="process 1 failed:(.|\n)*this one fails"):
        on_processes(fail_at, [(1, 0), (1, 0)])


def test_all_that_fail_within_the_grace_are_told_of(monkeypatch):
    monkeypatch.setattr(processes, "_GRACE", 30.0)
    with pytest.raises(RuntimeError, match="process 0 failed:(.|\n)*process 1 failed:(.|\n)*late"):
        on_processes(fail_late, [(), ()])


@pytest.mark.parametrize("rank", [0, 1])
def test_a_failing_process_ends_one_that_hears_nothing_of_it(rank):
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match=f"process {rank} failed"):
        on_processes(fail_or_sleep, [(rank,), (rank,)])
    assert time.monotonic() - begin < 50


@pytest.mark.parametrize("function", [sleep_at, leave_or_sleep])  # the other waits for it, or is gone
def test_a_process_that_takes_too_long_is_ended(function):
    rank = 1 if function is sleep_at else 0
    with pytest.raises(TimeoutError, match="2 processes did not end within 8 seconds"):
        on_processes(function, [(rank,), (rank,)], timeout=8.0)


def test_none_is_left():
    numbers = on_processes(own_number, [()])
    with pytest.raises(ProcessLookupError):
        os.kill(numbers[0], 0)


def test_bad_input():
    closed = 3
    for call, message in [
        (lambda: on_processes(double, []), "inputs must hold the arguments of at least one process"),
        (lambda: on_processes(lambda: closed, [()]), "<function> must be a plain function without closure"),
        (lambda: on_processes(double, [(1,)], {"f": torch.relu}), "f must be a plain function"),
        (lambda: on_processes(double, [(1,)], timeout=0.0), "timeout must be positive"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
