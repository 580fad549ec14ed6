"""Minimisers of the quadratic f(x) = x·Ax/2 - b·x, for a symmetric positive definite A given as a product x -> Ax."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from lib.course.shapes import checked

ROUNDING = 1e-8


@checked
def steepest_descent(
    matvec: Callable, b: Float64[np.ndarray, " n"], x0: Float64[np.ndarray, " n"] | None = None, *, tol: float, maxiter: int
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, "steps n"]]:
    """Steepest descent with exact line search; one product a step.

    Returns the last iterate and all iterates, the start first. Stops when |b - Ax| <= tol |b|, or after `maxiter`
    steps, converged or not. Raises `ValueError` when A shows itself not symmetric or not positive definite.
    Source: Shewchuk 1994, section 4.
    """
    x, r = _start(matvec, b, x0, tol, maxiter)
    history, last = [x], None
    while len(history) <= maxiter and np.linalg.norm(r) > tol * np.linalg.norm(b):
        Ar = matvec(r)
        alpha = r @ r / _curvature(r, Ar, last)
        last = r, Ar
        x = x + alpha * r
        r = r - alpha * Ar
        history.append(x)
    return x, np.stack(history)


@checked
def conjugate_gradient(
    matvec: Callable, b: Float64[np.ndarray, " n"], x0: Float64[np.ndarray, " n"] | None = None, *, tol: float, maxiter: int
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, "steps n"]]:
    """Conjugate gradients; one product a step.

    Returns, stops and raises as `steepest_descent` does. Source: Hestenes and Stiefel 1952.
    """
    x, r = _start(matvec, b, x0, tol, maxiter)
    p, rr = r, r @ r
    history, last = [x], None
    while len(history) <= maxiter and np.sqrt(rr) > tol * np.linalg.norm(b):
        Ap = matvec(p)
        alpha = rr / _curvature(p, Ap, last)
        last = p, Ap
        x = x + alpha * p
        r = r - alpha * Ap
        rr, previous = r @ r, rr
        p = r + rr / previous * p
        history.append(x)
    return x, np.stack(history)


def _start(matvec, b, x0, tol, maxiter):
    """The start and its residual, after checking the arguments."""
    x = np.zeros_like(b) if x0 is None else x0.copy()
    for name, vector in {"b": b, "x0": x}.items():
        if not np.all(np.isfinite(vector)):
            raise ValueError(f"{name} must be finite, got NaN or infinite entries")
    if not 0 <= tol < np.inf or maxiter < 0:
        raise ValueError(f"tol and maxiter must be finite and not negative, got {tol} and {maxiter}")
    product = matvec(x)
    if np.shape(product) != b.shape or not np.all(np.isfinite(product)):
        raise ValueError(f"matvec must return finite numbers of shape {b.shape}, got shape {np.shape(product)}")
    return x, b - product


def _curvature(p, Ap, last):
    """p·Ap, after checking that it is positive and, with the last direction and its product, that A is symmetric."""
    if not p @ Ap > 0:
        raise ValueError(f"A must be positive definite, got p·Ap = {p @ Ap:.3g} for a direction p")
    if last is not None:
        q, Aq = last
        if abs(q @ Ap - p @ Aq) > ROUNDING * np.linalg.norm(q) * np.linalg.norm(Ap):
            raise ValueError(f"A must be symmetric, got q·Ap = {q @ Ap:.6g} and p·Aq = {p @ Aq:.6g}")
    return p @ Ap
