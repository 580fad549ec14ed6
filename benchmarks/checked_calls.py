"""What the check of a call costs: the plan that is used, and the judge that it spares (see `lib.course.shapes`).

    python benchmarks/checked_calls.py
"""

import statistics
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np
import torch
from bench import record
from jaxtyping import Float
from torch import Tensor

from lib.course.shapes import checked, judged
from lib.foundations.quadratics import conjugate_gradient
from lib.learning.adam import adam_state, adam_step
from lib.sequence.attention import attention, causal_mask
from lib.sequence.position import apply_rope, sinusoidal

CALLS = 5000


@checked
def two_arguments(x: Float[Tensor, "n"], y: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    return x


def medians(functions: list[Callable], args: tuple, kwargs: dict) -> list[float]:
    """The median time in µs of a call of each function that follows a call of the same; the functions take turns."""
    times = {function: [] for function in functions}
    order = list(functions)
    for _ in range(CALLS):
        order.append(order.pop(0))
        for function in order:
            function(*args, **kwargs)
            start = perf_counter_ns()
            function(*args, **kwargs)
            times[function].append(perf_counter_ns() - start)
    return [statistics.median(times[function]) / 1000 for function in functions]


def main() -> None:
    torch.set_num_threads(1)
    q, position, w = torch.ones(1, 2, 3, 4), torch.arange(3), torch.ones(5)
    mask = {"allowed": causal_mask(position, position)[None], "bias": torch.zeros(1, 2, 3, 3)}
    cases = [
        (two_arguments, (w, w), {}),
        (attention, (q, q, q), {}),
        (attention, (q, q, q), mask),
        (apply_rope, (q, torch.ones(3, 2)), {}),
        (sinusoidal, (position, 4), {}),
        (adam_step, (w, w, adam_state(w)), {"lr": 0.1}),
        (conjugate_gradient, (lambda v: v, np.ones(2)), {"tol": 1e-6, "maxiter": 3}),
    ]
    rows = []
    for function, args, kwargs in cases:
        plain = function.__wrapped__
        unchecked, by_plan, by_judge = medians([plain, function, judged(plain)], args, kwargs)
        arguments = len(args) + len(kwargs)
        rows.append([f"{plain.__name__}, {arguments} arguments", unchecked, by_plan - unchecked, by_judge - unchecked])
    head = ["call", "unchecked, µs", "the plan adds, µs", "the judge would add, µs"]
    record("checked_calls", head, rows, what=f"medians of {CALLS} calls of each kind in turn")


if __name__ == "__main__":
    main()
