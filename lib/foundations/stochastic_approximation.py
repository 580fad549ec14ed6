"""Root finding from noisy values (Robbins and Monro 1951)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from lib.course.ranges import require_positive
from lib.course.shapes import checked


@checked
def robbins_monro(
    noisy: Callable,
    start: Float64[np.ndarray, "replicas *shape"],
    step: Callable,
    count: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "points replicas *shape"]:
    """All points of w_{k+1} = w_k - a_k g̃(w_k) for k = 1 … count, in independent replicas at once.

    `noisy(w, rng)` returns noisy values of g, of the shape of w; `step(k)` returns a_k > 0. Replicas that overflow
    become infinite or NaN and stay so: divergence is a result, not an error. A step size that is not positive and
    finite raises a `ValueError`.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    path = np.empty((count + 1, *start.shape))
    path[0] = start
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(1, count + 1):
            size = step(k)
            require_positive(f"step({k})", size)
            path[k] = path[k - 1] - size * noisy(path[k - 1], rng)
    return path
