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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_direction_of_any_length_counts(dtype):
    line, x, info = lambda x: 3 * x[0] + 4 * x[1], torch.zeros(2, dtype=dtype), torch.finfo(dtype)
    subnormal, root = info.tiny * info.eps, math.sqrt(info.max)
    for size in (subnormal, info.tiny, 1 / root, 0.3 / root, 1.0, root, 3 * root, info.max):
        along = lambda *v: directional_derivative(line, x, size * torch.tensor(v, dtype=dtype)).item()
        assert along(1, 0) == 3 and along(0, -1) == -4
        assert along(1, 1) == pytest.approx(7 / math.sqrt(2), rel=2 * info.eps)


def test_directions_of_mixed_scales_and_another_precision():
    line = lambda x: 3 * x[0] + 4 * x[1]
    v = torch.tensor([1e160, 1e-170], dtype=torch.float64)
    assert directional_derivative(line, torch.zeros(2, dtype=torch.float64), v).item() == 3
    assert directional_derivative(line, torch.zeros(2), v).item() == 3


def test_a_function_may_overwrite_its_argument():
    def f(x):
        x.mul_(2)
        return x @ x

    x = point.clone()
    assert directional_derivative(f, x, torch.tensor([1.0, 0.0], dtype=torch.float64)).item() == 8
    assert direction_sweep(f, x, 4)[1].tolist() == pytest.approx([8, 16, -8, -16])
    assert torch.equal(x, point)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_angles_are_right_in_every_precision(dtype):
    angles, rates = direction_sweep(lambda x: x[0], torch.zeros(2, dtype=dtype), 5000)
    exact = torch.arange(5000, dtype=torch.float64) * (2 * math.pi / 5000)
    assert torch.equal(angles, exact.to(dtype)) and torch.equal(rates, exact.cos().to(dtype))


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
    for v in ([float("nan"), 1.0], [float("inf"), 1.0]):
        with pytest.raises(ValueError, match="v must be finite and not zero, got .*(nan|inf)"):
            directional_derivative(square, point, torch.tensor(v, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"v must be finite and not zero, got \[\]"):
        directional_derivative(lambda x: x.sum(), torch.zeros(0), torch.zeros(0))
    for f in (lambda x: x, lambda x: None, lambda x: x.sum().long()):
        with pytest.raises(ValueError, match="f must return a scalar tensor of real numbers, got"):
            directional_derivative(f, point, point)
        with pytest.raises(ValueError, match="f must return a scalar tensor of real numbers, got"):
            direction_sweep(f, point, 2)
    with pytest.raises(TypeError, match="count must be a number, got True"):
        direction_sweep(square, point, True)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        direction_sweep(square, point, 0)
    with pytest.raises(TypeError, match="x"):
        direction_sweep(square, torch.zeros(3), 4)
