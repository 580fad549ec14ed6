"""Minimisers of the quadratic f(x) = x·Ax/2 - b·x, for a symmetric positive definite A given as a product x -> Ax."""

import math
from collections.abc import Callable

import numpy as np

from lib.course.ranges import own_array, require_at_least, require_finite, require_not_negative
from lib.course.shapes import Float64, checked

ROUNDING = 1e-5  # of a product in single precision


@checked
def steepest_descent(
    matvec: Callable,
    b: Float64[np.ndarray, " n"],
    x0: Float64[np.ndarray, " n"] | None = None,
    *,
    tol: float,
    maxiter: int,
    keep: bool = True,
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, "steps n"]]:
    """Steepest descent with exact line search; one product a step.

    Returns the last iterate and all iterates, the start first, or the last alone unless `keep`. Stops when
    |b - Ax| <= tol |b|, when rounding no longer lets x change, or after `maxiter` steps, converged or not. Raises
    `ValueError` when A shows itself not positive definite, or not symmetric up to 1e-5 of its size. Source: Shewchuk
    1994, section 4.
    """
    search = _Search(matvec, b, x0, tol, maxiter, keep)
    while search.goes_on():
        search.step()
        search.p = search.r.copy()
    return search.result()


@checked
def conjugate_gradient(
    matvec: Callable,
    b: Float64[np.ndarray, " n"],
    x0: Float64[np.ndarray, " n"] | None = None,
    *,
    tol: float,
    maxiter: int,
    keep: bool = True,
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, "steps n"]]:
    """Conjugate gradients; one product a step.

    Returns, stops and raises as `steepest_descent` does. Source: Hestenes and Stiefel 1952.
    """
    search = _Search(matvec, b, x0, tol, maxiter, keep)
    while search.goes_on():
        previous = search.rr
        search.step()
        search.p = search.rr / previous * search.p
        search.p += search.r
    return search.result()


class _Search:
    """The iterate x, those before it if they are kept, the residual r and the direction p of the next step.

    r and p are in units of 2^k, chosen anew whenever r·r leaves the range in which all products are safe floats.
    """

    def __init__(
        self, matvec: Callable, b: np.ndarray, x0: np.ndarray | None, tol: float, maxiter: int, keep: bool
    ):
        x = np.zeros_like(b) if x0 is None else x0.copy()
        require_finite("b", b)
        require_finite("x0", x)
        require_not_negative("tol", tol)
        require_at_least("maxiter", maxiter, 0)
        self.matvec, self.tol, self.maxiter, self.keep = matvec, tol, maxiter, keep
        self.x, self.kept, self.steps, self.moves = x, [x.copy()] if keep else [], 0, True
        scaled, self.b_unit = _scaled(b)
        self.b_size = np.linalg.norm(scaled)
        self.last, self.Ap, self.size, self.k = None, None, 0.0, 0
        product = self._product(x)
        require_finite("matvec's product", product)
        self.r = b - product
        self.p = self.r.copy()
        self._choose_unit()

    def goes_on(self) -> bool:
        if not 1e-20 < self.rr < 1e20:
            self._choose_unit()
        return self.moves and self.steps < self.maxiter and self.rr > self.enough

    def step(self) -> None:
        """Go to the lowest point on the line along p."""
        p, back = self.p, None if self.last is None else float(self.p @ self.Ap)
        self.Ap = None  # it may be the matvec's own, which the next product changes
        self.Ap = Ap = self._product(p)
        curvature = float(p @ Ap)
        if not math.isfinite(curvature):
            require_finite("matvec's product", Ap)
        if not curvature > 0:
            raise ValueError(f"A must be positive definite, got p·Ap = {curvature:.3g} of matvec for a direction p")
        self._require_symmetry(p, Ap, curvature, back)
        alpha = self.rr / curvature
        if not math.isfinite(alpha * self.unit):
            came = f"got p·Ap = {curvature:.3g} of matvec for a direction p"
            raise ValueError(f"A must be so large that 1/A and x are finite, {came}")
        self.r -= alpha * Ap
        self.rr = float(self.r @ self.r)
        change = alpha * self.unit * p
        if not 1e-20 < self.rr < 1e20:
            self.moves = not np.array_equal(self.x, self.x + change)
        self.x += change
        self.steps += 1
        if self.keep:
            self.kept.append(self.x.copy())

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        return self.x, np.stack(self.kept) if self.keep else self.x[None].copy()

    def _product(self, v: np.ndarray) -> np.ndarray:
        return own_array("matvec", self.matvec(v.copy()), v.shape, copy=False)

    def _choose_unit(self) -> None:
        self.r, shift = _scaled(self.r)
        self.p = np.ldexp(self.p, -shift)
        self.k += shift
        self.unit, self.rr = 2.0**self.k, float(self.r @ self.r)
        with np.errstate(over="ignore"):
            self.enough = np.square(self.tol * np.ldexp(self.b_size, self.b_unit - self.k))

    def _require_symmetry(self, p: np.ndarray, Ap: np.ndarray, curvature: float, back: float | None) -> None:
        """Refuse an A with q·Ap and `back` = p·Aq too far apart for rounding, where q was the direction before."""
        pp = float(p @ p)
        self.size = max(self.size, curvature / pp)
        if self.last is not None:
            q, qq = self.last
            there = float(q @ Ap)
            if abs(there - back) > ROUNDING * self.size * math.sqrt(pp * qq):
                raise ValueError(
                    f"A must be symmetric up to {ROUNDING} of its size, got q·Ap = {there:.6g} and p·Aq = {back:.6g} of matvec"
                )
        self.last = p, pp


def _scaled(v: np.ndarray) -> tuple[np.ndarray, int]:
    """v / 2^k and k, so that the largest entry lies between 1 and 2."""
    k = math.frexp(np.abs(v).max(initial=0))[1] - 1
    return np.ldexp(v, -k), k
