"""Units that see w·x + b: how many labellings they can produce, which ones, and the bias to begin with."""

from math import comb, log, log1p

import numpy as np
from jaxtyping import Float64, Real
from scipy.optimize import linprog

from lib.course.shapes import checked

FEASIBLE, INFEASIBLE = 0, 2


@checked
def cover_count(N: int, d: int, bias: bool) -> int:
    """How many of the 2^N labellings of N points in general position in d dimensions a linear threshold separates.

    General position: every d of the points are linearly independent (without a bias), or no d + 1 lie in a hyperplane
    (with one). Source: Cover 1965, theorem 1.
    """
    if N < 1 or d < 1:
        raise ValueError(f"N and d must be positive, got {N} and {d}")
    return 2 * sum(comb(N - 1, k) for k in range(d + bias))


@checked
def is_separable(X: Float64[np.ndarray, "N d"], y: Real[np.ndarray, " N"], bias: bool) -> bool:
    """Whether y (w·x + b) > 0 has a solution w, and b if there is a bias; labels y are -1 and 1.

    Decided by a linear program. Each point (x, 1) is first scaled to length 1, which changes no sign; a margin of less
    than about 1e-8 of that length counts as none. Raises `ValueError` for other labels and for X empty or not finite.
    """
    if X.size == 0 or not np.all(np.isfinite(X)):
        raise ValueError(f"X must be finite and not empty, got shape {X.shape}{' with other entries' * (X.size > 0)}")
    if not np.all(np.abs(y) == 1):
        raise ValueError(f"y must be -1 or 1, got {np.unique(y)[:5]}")
    points = np.column_stack([X, np.ones(len(X))]) if bias else X
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    if np.any(lengths == 0):
        return False
    A = -y[:, None] * points / lengths
    program = linprog(np.zeros(A.shape[1]), A_ub=A, b_ub=-np.ones(len(A)), bounds=(None, None), method="highs")
    if program.status not in (FEASIBLE, INFEASIBLE):
        raise RuntimeError(f"the linear program was not decided: {program.message}")
    return program.status == FEASIBLE


@checked
def prior_bias(pi: float) -> float:
    """The log-odds of pi: the bias with which a logistic unit starts at the probability pi of the label 1.

    Source: Lin et al., arXiv 1708.02002, section 4.1.
    """
    if not 0 < pi < 1:
        raise ValueError(f"pi must lie strictly between 0 and 1, got {pi}")
    return log(pi) - log1p(-pi)
