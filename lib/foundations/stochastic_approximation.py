"""Root finding from noisy values (Robbins and Monro 1951)."""

from collections.abc import Callable

import numpy as np

from lib.course.ranges import own_array, require_at_least, require_positive
from lib.course.shapes import Float64, checked


@checked
def robbins_monro(
    noisy: Callable,
    start: Float64[np.ndarray, "replicas *shape"],
    step: Callable,
    count: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "points replicas *shape"]:
    """All points of w_{k+1} = w_k - a_k g̃(w_k) for k = 1 … count, in independent replicas at once.

    `noisy(w, rng)` returns noisy values of g, of the shape of w; `step(k)` returns a_k > 0, and is asked for every k
    before the first value is drawn. Replicas that overflow become infinite or NaN and stay so: divergence is a result,
    not an error. Raises `ValueError` for a step size that is not positive and finite and for noise of another shape.
    """
    require_at_least("count", count, 1)
    sizes = [step(k) for k in range(1, count + 1)]
    for k, size in enumerate(sizes, start=1):
        require_positive(f"step({k})", size)
    path = np.empty((count + 1, *start.shape))
    path[0] = start
    with np.errstate(over="ignore", invalid="ignore"):
        for k, size in enumerate(sizes):
            path[k + 1] = path[k] - float(size) * own_array("noisy", noisy(path[k].copy(), rng), start.shape)
    return path
