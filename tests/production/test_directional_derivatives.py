"""What the chapter on directional derivatives says of torch at corners and of scipy's forward difference."""

import numpy as np
import pytest
import scipy
import torch
from scipy.optimize import approx_fprime

PAGE = "book/foundations/directional-derivatives.ipynb, section In production"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"
SCIPY = f"scipy {scipy.__version__} (1.17.1 on the page): mend the row in {PAGE}"


def at_zero(function, n=1):
    x = torch.zeros(n, dtype=torch.float64, requires_grad=True)
    function(x).sum().backward()
    return x.grad.tolist()


def maximum(x):
    return torch.maximum(x, torch.zeros_like(x))


@pytest.mark.parametrize("function, slope", [(torch.relu, 0), (lambda x: x.clamp(min=0), 1), (maximum, 0.5)])
def test_the_slope_of_a_ramp_at_its_corner_depends_on_the_spelling(function, slope):
    assert at_zero(function) == [slope], TORCH


def test_the_modes_disagree_about_fmax():
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    ramp = lambda x: torch.fmax(x, torch.zeros_like(x))
    assert at_zero(ramp) == [1] and torch.func.jvp(ramp, (zero,), (one,))[1] == 0, TORCH


def test_a_tie_is_shared_or_not():
    assert at_zero(torch.max, 2) == [0.5, 0.5] and at_zero(lambda x: x.max(dim=0).values, 2) == [1, 0], TORCH


def test_a_norm_at_zero_is_flat_or_nan():
    assert at_zero(torch.linalg.vector_norm, 2) == [0, 0], TORCH
    assert np.all(np.isnan(at_zero(lambda x: (x**2).sum().sqrt(), 2))), TORCH


def test_the_forward_differences_step_is_absolute():
    slope = approx_fprime(np.array([1e-9]), lambda x: float(np.sqrt(x[0])))[0]
    assert slope < 0.5 * 0.5 / np.sqrt(1e-9), SCIPY
