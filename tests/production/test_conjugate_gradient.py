"""What the chapter on minimising a quadratic says of scipy's conjugate gradients."""

import numpy as np
import pytest
import scipy
from scipy.sparse.linalg import cg

STALE = f"scipy {scipy.__version__}: the row of book/foundations/conjugate-gradient.ipynb no longer holds"


def test_success_is_judged_by_the_updated_residual():
    A, b = np.diag(np.linspace(1, 10, 50)), np.ones(50)
    x, info = cg(A, b, x0=np.full(50, 1e8), rtol=1e-12, maxiter=10_000)
    assert info == 0, STALE
    assert np.linalg.norm(b - A @ x) / np.linalg.norm(b) > 1e-9, STALE


def test_the_callback_gets_one_array_that_changes():
    A, b, kept = np.diag([1.0, 2.0, 3.0]), np.ones(3), []
    x, _ = cg(A, b, callback=kept.append)
    assert len(kept) == 3 and all(np.shares_memory(kept[0], other) for other in (*kept, x)), STALE


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_solved_system_becomes_nan_without_a_tolerance():
    x, _ = cg(np.eye(2), np.ones(2), rtol=0, atol=0, maxiter=5)
    assert np.all(np.isnan(x)), STALE
