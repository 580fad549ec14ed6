"""Units that see w·x + b: how many labellings they can produce, which ones, and the bias to begin with."""

from math import log, log1p

import numpy as np
from scipy.optimize import linprog

from lib.course.ranges import require_at_least, require_finite, require_in, require_signs
from lib.course.shapes import Float64, Real, checked

FEASIBLE, INFEASIBLE = 0, 2
SMALL = 1e-7  # beside 1 the program hardly sees it


@checked
def cover_count(N: int, d: int, bias: bool) -> int:
    """How many of the 2^N labellings of N points in general position in d dimensions a linear threshold separates.

    General position: every d of the points are linearly independent (without a bias), or no d + 1 lie in a hyperplane
    (with one). Source: Cover 1965, theorem 1.
    """
    require_at_least("N", N, 1)
    require_at_least("d", d, 1)
    if d + bias >= N:
        return 2**N
    count, binomial = 0, 1
    for k in range(d + bias):
        count += binomial
        binomial = binomial * (N - 1 - k) // (k + 1)  # from C(N - 1, k) to C(N - 1, k + 1)
    return 2 * count


@checked
def is_separable(X: Float64[np.ndarray, "N d"], y: Real[np.ndarray, " N"], bias: bool) -> bool:
    """Whether y (w·x + b) > 0 has a solution w, and b if there is a bias; labels y are -1 and 1.

    Decided by a linear program, in which features and then points are first scaled to the same size, and where sizes
    are mixed by a second, in which points come first. That changes no answer, but a margin of less than about 1e-8 of
    that size counts as none. Raises `ValueError` for other labels and for X empty or not finite.
    """
    if X.size == 0:
        raise ValueError(f"X must not be empty, got shape {X.shape}")
    require_finite("X", X)
    require_signs("y", y)
    points = np.column_stack([X, np.ones(len(X))]) if bias else X
    if not np.all(np.any(points != 0, axis=1)):
        return False
    sizes = np.abs(points[points != 0])
    mixed = sizes.min() < SMALL * sizes.max()
    return _has_margin(y, points, axes=(0, 1)) or bool(mixed and _has_margin(y, points, axes=(1, 0)))


@checked
def prior_bias(pi: float) -> float:
    """The log-odds of pi: the bias with which a logistic unit starts at the probability pi of the label 1.

    Source: Lin et al., arXiv 1708.02002, section 4.1.
    """
    require_in("pi", pi, 0, 1, "()")
    return log(pi) - log1p(-pi)


def _has_margin(y: np.ndarray, points: np.ndarray, axes: tuple[int, int]) -> bool:
    """Whether y (w·x) >= 1 has a solution once the largest entries along one axis and then the other are 1."""
    for axis in axes:
        largest = np.max(np.abs(points), axis=axis, keepdims=True)
        points = points / np.where(largest > 0, largest, 1)
    A, b = -y.astype(float)[:, None] * points, -np.ones(len(points))
    program = linprog(np.zeros(A.shape[1]), A_ub=A, b_ub=b, bounds=(None, None), method="highs")
    if program.status not in (FEASIBLE, INFEASIBLE):
        raise RuntimeError(f"the linear program was not decided: {program.message}")
    return program.status == FEASIBLE
