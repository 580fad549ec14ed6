import math

import pytest
import torch
from scipy.optimize import approx_fprime

from lib.foundations.derivatives import direction_sweep, directional_derivative

square = lambda x: x @ x
point = torch.tensor([1.0, 2.0], dtype=torch.float64)


def test_the_length_of_the_direction_does_not_count():
    for v in ([3.0, 4.0], [0.3, 0.4]):
        got = directional_derivative(square, point, torch.tensor(v, dtype=torch.float64))
        assert got.item() == pytest.approx(22 / 5, abs=1e-12)


def test_agrees_with_finite_differences():
    f = lambda x: torch.sin(x[0]) * x[1] ** 3 + x[2].exp()
    x, v = torch.tensor([0.3, 1.2, -0.5], dtype=torch.float64), torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    gradient = approx_fprime(x.numpy(), lambda y: f(torch.from_numpy(y)).item(), 1e-7)
    assert directional_derivative(f, x, v).item() == pytest.approx(gradient @ (v / v.norm()).numpy(), abs=1e-5)


def test_a_sweep_goes_round_once():
    angles, rates = direction_sweep(square, point, 8)
    assert angles.tolist() == pytest.approx([k * math.pi / 4 for k in range(8)])
    assert rates.tolist() == pytest.approx((2 * angles.cos() + 4 * angles.sin()).tolist(), abs=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="v must be finite and not zero"):
        directional_derivative(square, point, torch.zeros(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        direction_sweep(square, point, 0)
    with pytest.raises(TypeError, match="x"):
        direction_sweep(square, torch.zeros(3), 4)
