import numpy as np
import pytest
from scipy.sparse.linalg import cg

from lib.foundations.quadratics import conjugate_gradient, steepest_descent

both = pytest.mark.parametrize("method", [steepest_descent, conjugate_gradient])


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


@both
def test_without_its_history_a_search_ends_at_the_same_point(method):
    rng = np.random.default_rng(2)
    A, b, start = spd(rng, 30, 20.0), rng.normal(size=30), rng.normal(size=30)
    for tol in (0.0, 1e-6):
        x, history = method(lambda v: A @ v, b, start, tol=tol, maxiter=40)
        alone, last = method(lambda v: A @ v, b, start, tol=tol, maxiter=40, keep=False)
        assert np.array_equal(alone, x) and np.array_equal(last, history[-1:])


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


@both
def test_the_tolerance_is_relative_to_b(method):
    A, b = spd(np.random.default_rng(2), 20, 10.0), np.ones(20)
    steps = [len(method(lambda v: A @ v, scale * b, tol=1e-6, maxiter=500)[1]) for scale in (1.0, 1e6)]
    assert steps[0] == steps[1] > 5


@both
@pytest.mark.parametrize("b", [[1e160], [1e-170], [1e308, -1e308], [5e-324, 5e-324], [1e-320, 0.0], [1e160, 1.0], [1e-170, 1.0]])
def test_every_scale_of_b_is_solved(method, b):
    x, history = method(lambda v: v, np.array(b), tol=1e-10, maxiter=9)
    assert x.tolist() == b and len(history) == 2


@both
def test_without_a_tolerance_every_scale_within_b_is_solved(method):
    b = np.array([1e160, 1.0, 1e-140])
    assert method(lambda v: v, b, tol=0.0, maxiter=9)[0].tolist() == b.tolist()


@both
@pytest.mark.parametrize("size_of_A, size_of_b", [(0, 530), (0, -530), (530, 0), (-530, 0), (530, 530), (-530, -530), (-500, 500)])
def test_iterates_scale_with_the_problem(method, size_of_A, size_of_b):
    rng = np.random.default_rng(3)
    A, b, start = spd(rng, 6, 10.0), rng.normal(size=6), rng.normal(size=6)
    _, plain = method(lambda v: A @ v, b, start, tol=1e-9, maxiter=40)
    scaled_A, scaled_b, scaled_start = np.ldexp(A, size_of_A), np.ldexp(b, size_of_b), np.ldexp(start, size_of_b - size_of_A)
    _, scaled = method(lambda v: scaled_A @ v, scaled_b, scaled_start, tol=1e-9, maxiter=40)
    assert np.array_equal(np.ldexp(scaled, size_of_A - size_of_b), plain)


@both
@pytest.mark.parametrize(
    "A, b, start, solution",
    [
        ([[2, -1], [-1, 2]], [1, 2], [0, 0], [4 / 3, 5 / 3]),
        ([[2, 1], [1, 3]], [0, 0], [1, 1], [0, 0]),
        ([[2, 1], [1, 3]], [1, 1], [0.4, 0.2], [0.4, 0.2]),
        ([[1, 0], [0, 1e-12]], [1, 1e-12], [0, 0], [1, 1]),
    ],
)
def test_without_a_tolerance_it_stops_where_rounding_does(method, A, b, start, solution):
    A = np.array(A, dtype=float)
    x, history = method(lambda v: A @ v, np.array(b, dtype=float), np.array(start, dtype=float), tol=0.0, maxiter=1000)
    assert np.allclose(x, solution, rtol=1e-12, atol=1e-15) and len(history) < 200


def test_definite_systems_are_solved_without_a_tolerance():
    rng = np.random.default_rng(5)
    for _ in range(300):
        n = int(rng.integers(1, 12))
        root = rng.normal(size=(n, n))
        A, b = root @ root.T, rng.normal(size=n)
        x, _ = conjugate_gradient(lambda v: A @ v, b, tol=0.0, maxiter=50 * n)
        assert np.linalg.norm(A @ x - b) <= 1e-9 * np.linalg.norm(A, 2) * np.linalg.norm(x)


@both
@pytest.mark.parametrize("dtype, tol", [(np.float32, 1e-5), (np.float32, 0.0)])
def test_an_operator_that_rounds_is_not_accused(method, dtype, tol):
    rng = np.random.default_rng(6)
    for n in (2, 5, 50, 400):
        A, b = spd(rng, n, 20.0), rng.normal(size=n)
        narrow = A.astype(dtype)
        x, _ = method(lambda v: narrow @ v.astype(dtype), b, tol=tol, maxiter=500)
        assert np.linalg.norm(A @ x - b) <= 2e-4 * np.linalg.norm(b)


@both
def test_the_product_may_overwrite_its_argument_and_reuse_its_answer(method):
    doubled = lambda v: np.multiply(v, 2, out=v)
    b, start = np.array([1.0, 1.0]), np.array([3.0, 4.0])
    assert method(doubled, b, tol=1e-12, maxiter=9)[0].tolist() == [0.5, 0.5]
    assert method(doubled, b, start, tol=1e-12, maxiter=9)[1].tolist() == [[3, 4], [0.5, 0.5]]
    assert b.tolist() == [1, 1] and start.tolist() == [3, 4]
    A, buffer = np.array([[2.0, 1.0], [1.0, 3.0]]), np.empty(2)
    want, _ = method(lambda v: A @ v, b, start, tol=1e-12, maxiter=99)
    got, _ = method(lambda v: np.matmul(A, v, out=buffer), b, start, tol=1e-12, maxiter=99)
    assert np.array_equal(got, want) and got == pytest.approx([0.4, 0.2])


@both
def test_what_is_not_symmetric_or_not_definite_is_refused(method):
    rng = np.random.default_rng(7)
    for n in (2, 5, 30):
        A, b = spd(rng, n, 50.0), rng.normal(size=n)
        shear = np.triu(rng.normal(size=(n, n)), 1)
        for wrong in (A + 0.01 * shear, 1e200 * (A + shear), 1e-200 * (A + shear)):
            with pytest.raises(ValueError, match="A must be symmetric up to 1e-05 of its size, got"):
                method(lambda v: wrong @ v, b, tol=1e-12, maxiter=400)
        indefinite = 10 * np.eye(n) - A
        for wrong in (indefinite, -A, 0 * A, 1e-200 * indefinite, 1e200 * indefinite):
            with pytest.raises(ValueError, match="A must be positive definite, got"):
                method(lambda v: wrong @ v, b, tol=1e-12, maxiter=400)
    with pytest.raises(ValueError, match="positive definite"):
        method(lambda v: np.array([v[0], 0.0]), np.array([0.0, 1.0]), tol=1e-12, maxiter=9)


@both
@pytest.mark.parametrize("answer", [np.zeros(1), np.zeros((2, 1)), 0.0, None, np.array([True, False]), np.array([1j, 0]), ["a", "b"]])
def test_a_product_of_another_shape_or_kind_is_refused_at_every_step(method, answer):
    for calls in (1, 2, 3):
        answers = iter([None] * (calls - 1))
        matvec = lambda v: np.array([v[0], 2 * v[1]]) if next(answers, True) is None else answer
        with pytest.raises(ValueError, match=r"matvec must return real numbers of shape \(2,\), got shape"):
            method(matvec, np.array([1.0, 1.0]), tol=0.0, maxiter=9)


@both
@pytest.mark.parametrize("entry", [np.nan, np.inf])
def test_a_product_that_is_not_finite_is_refused(method, entry):
    for bad in (lambda v: np.array([v[0], entry]), lambda v: v + entry if v.any() else v):
        with pytest.raises(ValueError, match="matvec's product must be finite"):
            method(bad, np.array([1.0, 1.0]), tol=0.0, maxiter=9)


@both
def test_a_solution_beyond_all_floats_is_refused(method):
    with pytest.raises(ValueError, match="A must be so large that 1/A and x are finite, got"):
        method(lambda v: 1e-200 * v, np.array([1.0, 1e200]), tol=0.0, maxiter=9)


@both
def test_an_empty_system_has_an_empty_solution(method):
    x, history = method(lambda v: v, np.zeros(0), tol=0.0, maxiter=9)
    assert x.shape == (0,) and history.shape == (1, 0)


@both
def test_bad_input_is_named(method):
    b = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="positive definite"):
        method(lambda v: np.diag([1.0, -1.0]) @ v, b, tol=0.0, maxiter=5)
    with pytest.raises(ValueError, match="symmetric"):
        method(lambda v: np.array([[2.0, 1.0], [0.0, 1.0]]) @ v, b, tol=0.0, maxiter=5)
    with pytest.raises(ValueError, match="x0 must be finite"):
        method(lambda v: v, b, np.array([np.nan, 1.0]), tol=0.0, maxiter=5)
    with pytest.raises(ValueError, match="tol must be finite and not negative, got nan"):
        method(lambda v: v, b, tol=float("nan"), maxiter=5)
    with pytest.raises(ValueError, match="maxiter must be at least 0, got -1"):
        method(lambda v: v, b, tol=0.0, maxiter=-1)
    with pytest.raises(TypeError, match="tol must be a number, got True"):
        method(lambda v: v, b, tol=True, maxiter=5)
    with pytest.raises(TypeError, match="maxiter must be a number, got True"):
        method(lambda v: v, b, tol=0.0, maxiter=True)
    with pytest.raises(TypeError, match="b"):
        method(lambda v: v, b.astype(np.float32), tol=0.0, maxiter=5)
    with pytest.raises(ValueError, match="b must be finite"):
        method(lambda v: v, np.array([np.nan, 1.0]), tol=0.0, maxiter=5)
    with pytest.raises(TypeError, match="x0"):
        method(lambda v: v, b, np.zeros(3), tol=0.0, maxiter=5)
