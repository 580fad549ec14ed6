import numpy as np
import pytest
from scipy.sparse.linalg import cg

from lib.foundations.quadratics import conjugate_gradient, steepest_descent


def spd(rng, n, kappa):
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    return q * np.linspace(1, kappa, n) @ q.T


@pytest.mark.parametrize("kappa", [2.0, 100.0])
def test_conjugate_gradient_gives_every_iterate_of_scipy(kappa):
    rng = np.random.default_rng(0)
    A, b = spd(rng, 30, kappa), rng.normal(size=30)
    trace = []
    cg(A, b, rtol=1e-14, atol=0, maxiter=30, callback=lambda x: trace.append(x.copy()))
    _, history = conjugate_gradient(lambda v: A @ v, b, tol=1e-14, maxiter=30)
    assert len(history) == len(trace) + 1
    assert np.abs(history[1:] - trace).max() < 1e-12


@pytest.mark.parametrize("method, maxiter", [(steepest_descent, 2000), (conjugate_gradient, 30)])
def test_both_solve_the_system_from_any_start(method, maxiter):
    rng = np.random.default_rng(1)
    A, b, start = spd(rng, 30, 20.0), rng.normal(size=30), rng.normal(size=30)
    x, history = method(lambda v: A @ v, b, start, tol=1e-10, maxiter=maxiter)
    assert np.linalg.norm(A @ x - b) <= 1e-9 * np.linalg.norm(b)
    assert np.array_equal(history[0], start) and np.array_equal(history[-1], x)


def test_steepest_descent_makes_the_next_gradient_orthogonal():
    A, b = np.array([[3.0, 2.0], [2.0, 6.0]]), np.array([2.0, -8.0])
    _, history = steepest_descent(lambda v: A @ v, b, np.array([-2.0, -2.0]), tol=0.0, maxiter=4)
    residuals = b - history @ A
    assert np.abs(np.sum(residuals[1:] * residuals[:-1], axis=1)).max() < 1e-12


def test_tolerance_and_step_limit_stop_the_iteration():
    A, b = np.diag([1.0, 2.0, 4.0]), np.ones(3)
    assert len(conjugate_gradient(lambda v: A @ v, b, tol=0.0, maxiter=2)[1]) == 3
    assert len(conjugate_gradient(lambda v: A @ v, b, tol=2.0, maxiter=9)[1]) == 1
    assert len(conjugate_gradient(lambda v: A @ v, 0 * b, tol=0.0, maxiter=9)[1]) == 1


@pytest.mark.parametrize("method", [steepest_descent, conjugate_gradient])
def test_the_tolerance_is_relative_to_b(method):
    A, b = spd(np.random.default_rng(2), 20, 10.0), np.ones(20)
    steps = [len(method(lambda v: A @ v, scale * b, tol=1e-6, maxiter=500)[1]) for scale in (1.0, 1e6)]
    assert steps[0] == steps[1] > 5


@pytest.mark.parametrize("method", [steepest_descent, conjugate_gradient])
def test_bad_input_is_named(method):
    b = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="positive definite"):
        method(lambda v: np.diag([1.0, -1.0]) @ v, b, tol=0.0, maxiter=5)
    with pytest.raises(ValueError, match="symmetric"):
        method(lambda v: np.array([[2.0, 1.0], [0.0, 1.0]]) @ v, b, tol=0.0, maxiter=5)
    with pytest.raises(ValueError, match="x0 must be finite"):
        method(lambda v: v, b, np.array([np.nan, 1.0]), tol=0.0, maxiter=5)
    with pytest.raises(ValueError, match="got nan and 5"):
        method(lambda v: v, b, tol=float("nan"), maxiter=5)
    with pytest.raises(ValueError, match="got 0.0 and -1"):
        method(lambda v: v, b, tol=0.0, maxiter=-1)
    with pytest.raises(ValueError, match=r"of shape \(2,\), got shape \(1,\)"):
        method(lambda v: v[:1], b, tol=0.0, maxiter=5)
    with pytest.raises(TypeError, match="b"):
        method(lambda v: v, b.astype(np.float32), tol=0.0, maxiter=5)
    with pytest.raises(ValueError, match="b must be finite"):
        method(lambda v: v, np.array([np.nan, 1.0]), tol=0.0, maxiter=5)
    with pytest.raises(TypeError, match="x0"):
        method(lambda v: v, b, np.zeros(3), tol=0.0, maxiter=5)
