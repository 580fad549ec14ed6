"""lib.systems.precision against torch's own formats, code by code, and torch's GradScaler."""

import math

import numpy as np
import pytest
import torch
from torch.amp import GradScaler

from lib.systems.precision import FORMATS, LossScaler, float_format

HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
BYTES = {"float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2}


def same(got, want):
    """Equal, zeros in their signs, NaN at the same places."""
    assert torch.equal(got.isnan(), want.isnan())
    got, want = got.nan_to_num(0.5), want.nan_to_num(0.5)
    assert torch.equal(got, want) and torch.equal(got.signbit(), want.signbit())


@pytest.mark.parametrize("name", HALVES)
def test_all_codes_of_16_bits_are_torchs(name):
    codes = torch.arange(2**16)
    same(float_format(name).decode(codes), codes.to(torch.int32).to(torch.int16).view(HALVES[name]).double())


@pytest.mark.parametrize("name", BYTES)
def test_all_codes_of_8_bits_are_torchs(name):
    codes = torch.arange(2**8)
    same(float_format(name).decode(codes), codes.to(torch.uint8).view(BYTES[name]).double())


def test_codes_of_32_bits_are_torchs():
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 2**32, 20_000))
    want = torch.where(codes >= 2**31, codes - 2**32, codes).to(torch.int32).view(torch.float32)
    same(float_format("float32").decode(codes), want.double())


@pytest.mark.parametrize("name", [*HALVES, *BYTES, "float32"])
def test_limits_are_those_of_finfo(name):
    form, info = float_format(name), torch.finfo(getattr(torch, name))
    assert (form.bits, form.largest, form.smallest_normal) == (info.bits, info.max, info.smallest_normal)
    assert 2 * form.unit_roundoff == info.eps
    assert form.smallest == info.smallest_normal * info.eps
    values = form.decode(torch.arange(2**min(form.bits, 16)))
    if form.bits <= 16:
        finite = values[values.isfinite()]
        assert finite.max() == form.largest and finite[finite > 0].min() == form.smallest


def spread(seed, dtype, low=-12.0, high=7.0):
    """Numbers of all sizes and both signs, with every kind of tie in half precision among them."""
    rng = np.random.default_rng(seed)
    sizes = rng.normal(size=20_000) * 10 ** rng.uniform(low, high, 20_000)
    codes = torch.from_numpy(rng.integers(0, 2**16, 20_000)).to(torch.int32).to(torch.int16)
    halves = [codes.view(d).double().nan_to_num(1, 2, 3).clamp(-1e38, 1e38) for d in HALVES.values()]
    return torch.cat([torch.from_numpy(sizes), *halves, *(h * (1 + 2.0**-11) for h in halves)]).to(dtype)


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("seed", range(3))
def test_rounding_is_torchs_cast_from_float32(name, seed):
    x = spread(seed, torch.float32)
    same(float_format(name).round(x), x.to(HALVES[name]).float())


@pytest.mark.parametrize("name", BYTES)
def test_rounding_to_8_bits_is_torchs_cast_below_the_largest(name):
    form, x = float_format(name), spread(1, torch.float32, low=-5)
    x = x[x.abs() <= form.largest]
    same(form.round(x), x.to(BYTES[name]).float())


def test_rounding_from_float64_is_to_the_nearest_once():
    """The cast goes by way of float32 and can round twice; here no other number of the format is nearer."""
    form, x = float_format("float16"), spread(2, torch.float64, high=4)
    x = x[x.abs() < 65_000]
    finite = form.decode(torch.arange(2**16))
    finite = finite[finite.isfinite()].sort().values
    right = torch.searchsorted(finite, x).clamp(1, len(finite) - 1)
    nearest = torch.minimum((finite[right] - x).abs(), (finite[right - 1] - x).abs())
    assert torch.equal((form.round(x) - x).abs(), nearest)


@pytest.mark.parametrize("name", FORMATS)
def test_the_relative_error_of_normal_numbers_stays_below_its_bound(name):
    form, x = float_format(name), spread(3, torch.float64)
    x = x[(x.abs() >= form.smallest_normal) & (x.abs() <= form.largest)]
    u = form.unit_roundoff
    assert ((form.round(x) - x).abs() <= u / (1 + u) * x.abs() * (1 + 1e-15)).all()
    assert torch.equal(form.round(form.round(x)), form.round(x))


def test_beyond_the_largest_there_is_infinity_or_nan():
    for name, beyond in (("float16", math.inf), ("float8_e5m2", math.inf), ("float8_e4m3fn", math.nan)):
        form = float_format(name)
        x = torch.tensor([form.largest, 2 * form.largest, -2 * form.largest, math.inf, math.nan]).double()
        want = torch.tensor([form.largest, beyond, -beyond, beyond, math.nan]).double()
        torch.testing.assert_close(form.round(x), want, equal_nan=True, atol=0, rtol=0)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "tf32"])
def test_stochastic_rounding_is_right_on_average_and_takes_a_neighbour(name):
    form, count = float_format(name), 20_000
    for value in (1.0 + 0.3 * 2 * form.unit_roundoff, -1.7, form.smallest * 0.25, 0.0, 2.5):
        x = torch.full((count,), value, dtype=torch.float64)
        rounded = form.round_stochastically(x, torch.Generator().manual_seed(5))
        spacing = max(2.0 ** math.floor(math.log2(abs(value) or 1e-300)), form.smallest_normal) * 2 * form.unit_roundoff
        assert ((rounded - value).abs() < spacing).all()
        assert abs(rounded.mean().item() - value) <= 4.5 * spacing / 2 / math.sqrt(count)
        assert torch.equal(form.round(rounded), rounded)


@pytest.mark.parametrize("seed", range(4))
def test_the_scale_follows_torchs_grad_scaler(seed):
    overflows = np.random.default_rng(seed).random(60) < 0.15
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    theirs = GradScaler("cpu", init_scale=2.0**10, growth_interval=5)
    ours = LossScaler(scale=2.0**10, interval=5)
    for overflow in overflows:
        gradient = torch.tensor([math.inf if overflow else 1.0, 2.0, 3.0])
        parameter.grad = gradient.clone()
        theirs.scale(torch.ones(()))
        theirs.step(optimizer)
        theirs.update()
        parameter.grad = gradient.clone()
        assert ours.step(optimizer) == (not overflow)
        assert ours.scale == theirs.get_scale()


def test_a_scaled_step_is_the_plain_step():
    parameter, plain = torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.tensor([1.0, 2.0]) - 0.1 * torch.tensor([4.0, 8.0])
    scaler = LossScaler(scale=1024.0)
    (scaler.scale * (2 * parameter.square()).sum()).backward()
    assert scaler.step(torch.optim.SGD([parameter], lr=0.1))
    assert torch.equal(parameter.detach(), plain)


def test_bad_input_is_named():
    cases = [
        (lambda: float_format("float12"), "name must be one of float32"),
        (lambda: float_format("float16").decode(torch.tensor([2**16])), "codes must lie in"),
        (lambda: float_format("float16").decode(torch.tensor([-1])), "codes must lie in"),
        (lambda: float_format("float32").round(torch.zeros(2)), None),
        (lambda: float_format("float16").round(torch.zeros(2, dtype=torch.bfloat16)), "x must be float64, or float32"),
        (lambda: LossScaler(scale=0.0), "scale must be positive"),
        (lambda: LossScaler(growth=1.0), "growth must be above 1"),
        (lambda: LossScaler(backoff=1.0), "backoff must lie between"),
        (lambda: LossScaler(interval=0), "interval must be at least 1"),
    ]
    for call, message in cases:
        if message is None:
            assert torch.equal(call(), torch.zeros(2))
            continue
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError):
        float_format("float16").decode(torch.zeros(3))
