"""lib.generative.solvers and likelihood: orders, laws of Langevin and of the reverse SDE, exact likelihoods."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import kstest

from lib.generative.likelihood import divergence, log_likelihood
from lib.generative.mixtures import GaussianMixture, ring_mixture
from lib.generative.paths import EDM, VE, VP, Cosine, RectifiedFlow, SubVP
from lib.generative.predictions import exact_flow, reverse_sde
from lib.generative.solvers import (
    STEPS,
    euler_maruyama,
    langevin,
    langevin_correction,
    langevin_states,
    ode_states,
    predictor_corrector,
    sde_states,
    solve_ode,
    time_grid,
    with_times,
)

ORDERS = {"euler": 1, "heun": 2, "rk4": 4}
every_method = pytest.mark.parametrize("method", STEPS)
PATHS = [VP(), SubVP(), VE(0.01, 10.0), EDM(), RectifiedFlow(), Cosine()]


def generator(number=0):
    return torch.Generator().manual_seed(number)


def randn(*shape, number=0):
    return torch.randn(*shape, generator=generator(number), dtype=torch.float64)


def f64(values):
    return torch.tensor(values, dtype=torch.float64)


def two_modes():
    return GaussianMixture(f64([0.3, 0.7]), f64([[-1.0], [0.8]]), f64([0.1, 0.3]))


@pytest.mark.parametrize("start, end, power", [(1.0, 0.0, 1.0), (0.0, 0.999, 2.0), (80.0, 0.002, 7.0), (0.3, 0.9, 0.5)])
def test_a_grid_is_even_in_the_root_of_time(start, end, power):
    times = time_grid(17, start, end, power)
    assert times.shape == (18,) and times[0].item() == start and times[-1].item() == end
    roots = times ** (1 / power)
    torch.testing.assert_close(roots.diff(), roots.diff().mean().expand(17), atol=1e-13, rtol=1e-12)


def test_edms_clock_is_the_grid_of_power_seven():
    want = time_grid(17, 80.0, 0.002, 7.0)
    torch.testing.assert_close(EDM().sigma(time_grid(17)), want, atol=0, rtol=1e-12)


@every_method
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("backwards", [False, True])
def test_orders_on_a_rotation_whose_speed_changes(method, number, backwards):
    """dx/dt = (1 + t) J x turns x by t + t²/2."""
    x, turn = randn(5, 2, number=number), f64([[0.0, 1.0], [-1.0, 0.0]])
    field = lambda x, t: (1 + t) * x @ turn  # noqa: E731
    angle = -1.5 if backwards else 1.5
    c, s = math.cos(angle), math.sin(angle)
    want, ends = x @ f64([[c, s], [-s, c]]), ((1.0, 0.0) if backwards else (0.0, 1.0))
    errors = [(solve_ode(field, x, time_grid(n, *ends), method) - want).norm().item() for n in (20, 40, 80)]
    assert np.diff(np.log2(errors)) == pytest.approx([-ORDERS[method]] * 2, abs=0.15)


@every_method
def test_orders_on_the_flow_of_a_mixture(method):
    """The flow keeps F_t(x_t) in one dimension, whatever the path: an exact solution of a field that is not linear."""
    mixture, path = two_modes(), Cosine()
    field, start = exact_flow(path, mixture), mixture.sample(50, generator())
    noisy, errors = mixture.push_forward(path.alpha(0.9).item(), path.sigma(0.9).item()), []
    for steps in (40, 80, 160):
        x = solve_ode(field, start, time_grid(steps, 0.0, 0.9), method)
        errors.append((noisy.cdf(x[:, 0]) - mixture.cdf(start[:, 0])).norm().item())
    assert np.diff(np.log2(errors)) == pytest.approx([-ORDERS[method]] * 2, abs=0.3)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_every_flow_keeps_the_distribution_function(path):
    mixture = two_modes()
    begin = mixture.push_forward(1.0, path.sigma(0.0).item())
    x = begin.sample(40, generator())
    end = solve_ode(exact_flow(path, mixture), x, time_grid(200, 0.0, 0.99, 2.0))
    law = mixture.push_forward(path.alpha(0.99).item(), path.sigma(0.99).item())
    assert (law.cdf(end[:, 0]) - begin.cdf(x[:, 0])).abs().max() < 2e-7


def test_rk4_agrees_with_scipy():
    field, x = exact_flow(RectifiedFlow(), ring_mixture(3, 1.0, 0.4)), randn(4, 2)
    theirs = solve_ivp(
        lambda t, y: field(torch.from_numpy(y).reshape(4, 2), t).numpy().ravel(), (1.0, 0.0), x.numpy().ravel(),
        method="DOP853", rtol=1e-10, atol=1e-11,
    )  # fmt: skip
    ours = solve_ode(field, x, time_grid(400))
    np.testing.assert_allclose(ours.numpy().ravel(), theirs.y[:, -1], atol=1e-8)


@every_method
def test_states_begin_with_x_and_end_with_the_solution(method):
    x, times, evaluations = randn(3, 2), time_grid(7), []

    def field(x, t):
        evaluations.append(t)
        return -x

    states = list(ode_states(field, x, times, method))
    assert len(states) == 8 and torch.equal(states[0], x) and len(evaluations) == 7 * ORDERS[method]
    assert torch.equal(states[-1], solve_ode(lambda x, t: -x, x, times, method))


@every_method
def test_a_field_may_write_into_what_it_is_given(method):
    x = randn(3, 2)
    got = solve_ode(lambda x, t: x.mul_(-1), x, time_grid(5), method)
    assert torch.equal(got, solve_ode(lambda x, t: -x, x, time_grid(5), method)) and torch.equal(x, randn(3, 2))


def test_gradients_flow_through_a_solution():
    x = randn(3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: solve_ode(lambda x, t: t * x.sin(), x, time_grid(3)), x)


def test_euler_maruyama_has_strong_order_one_for_additive_noise():
    """Ornstein–Uhlenbeck with the increments of one fine path, added up for the coarse ones."""
    fine, errors = randn(4096, 500, 1) * (1 / 4096) ** 0.5, []

    def end(steps):
        x, h = torch.ones(500, 1).double(), 1 / steps
        for dw in fine.unflatten(0, (steps, -1)).sum(1):
            x = x - h * 2 * x + 0.7 * dw
        return x

    exact = end(4096)
    for steps in (16, 32, 64):
        errors.append((end(steps) - exact).abs().mean().item())
    assert np.diff(np.log2(errors)) == pytest.approx([-1, -1], abs=0.1)


def test_a_step_of_euler_maruyama():
    x, rng = randn(6, 2), generator(3)
    z = [randn(6, 2, number=3)]
    got = euler_maruyama(lambda x, t: t * x, lambda t: 2 + t, x, f64([1.0, 0.75]), rng)
    torch.testing.assert_close(got, x - 0.25 * x + 0.5 * 3 * z[0], atol=1e-14, rtol=0)


def test_the_weak_error_of_euler_maruyama_is_of_first_order():
    """Variance of Ornstein–Uhlenbeck: the recursion V <- (1 - 2h)² V + h g² that the steps obey, within five errors."""
    times, x = time_grid(10, 0.0, 1.0), torch.zeros(40_000, 1).double()
    got, variance = euler_maruyama(lambda x, t: -2 * x, lambda t: 1.0, x, times, generator()), 0.0
    for _ in range(10):
        variance = (1 - 0.2) ** 2 * variance + 0.1
    assert got.var().item() == pytest.approx(variance, rel=5 * (2 / 40_000) ** 0.5)


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_reverse_process_ends_in_the_data(path, noise):
    mixture, last = two_modes(), 0.98
    begin = mixture.push_forward(path.alpha(last).item(), path.sigma(last).item())
    drift, diffusion = reverse_sde(path, lambda x, t: mixture.score(x, path.alpha(t), path.sigma(t)), noise)
    x = euler_maruyama(drift, diffusion, begin.sample(2000, generator(1)), time_grid(400, last, 0.0, 2.0), generator(2))
    law = mixture.push_forward(1.0, path.sigma(0.0).item())
    assert kstest(x[:, 0].numpy(), lambda v: law.cdf(torch.from_numpy(v)).numpy()).pvalue > 1e-4


@pytest.mark.parametrize("step", [0.05, 0.25, 0.5])
def test_langevins_stationary_variance(step):
    """1 / (1 - ε/2) on N(0, 1), within five standard errors of the variance of 20,000 chains."""
    x = langevin(lambda x: -x, torch.zeros(20_000, 1).double(), step, int(6 / step), generator())
    assert x.var().item() == pytest.approx(1 / (1 - step / 2), rel=5 * (2 / 20_000) ** 0.5)


def test_langevin_diverges_beyond_its_longest_step():
    """From ε = 2 s² on; the state's error says so once it has overflowed."""
    chains = langevin_states(lambda x: -x, torch.ones(100, 1).double(), 2.1, 60, generator())
    states = [state.abs().mean().item() for state in chains]
    assert states[-1] > 10 * states[1]
    with pytest.raises(FloatingPointError, match="the state is not finite at"):
        langevin(lambda x: -x, torch.ones(2, 1).double(), 1e10, 40, generator())


def test_a_correction_has_the_ratio_that_was_asked_for():
    """With ε = 2 (r ‖z‖ / ‖s‖)², the score's part ε ‖s‖ is r times the noise's √(2ε) ‖z‖, in mean norms."""
    x, score, ratio = randn(50, 3), randn(50, 3, number=1), 0.16
    z = randn(50, 3, number=7)
    step = 2 * (ratio * z.norm(dim=1).mean() / score.norm(dim=1).mean()) ** 2
    got = langevin_correction(score, x, ratio, generator(7))
    torch.testing.assert_close(got, x + step * score + (2 * step).sqrt() * z, atol=1e-14, rtol=1e-14)
    assert (step * score.norm(dim=1).mean() / ((2 * step).sqrt() * z.norm(dim=1).mean())).item() == pytest.approx(ratio)


def test_corrections_keep_the_law_and_mend_a_coarse_predictor():
    """VE by Euler steps of its flow in σ: with corrections, closer to the data's law (Cramér–von Mises)."""
    mixture, path = two_modes(), VE(0.01, 10.0)
    field = exact_flow(path, mixture)
    law, times, noise = mixture.push_forward(1.0, 0.01), time_grid(30), 10 * randn(2000, 1)

    def distance(x):
        levels = law.cdf(x[:, 0].sort().values)
        return (levels - (torch.arange(2000).double() + 0.5) / 2000).square().mean().item()

    def score(x, t):
        return mixture.score(x, 1.0, path.sigma(t))

    def predictor(x, t, to):
        return x + (to - t) * field(x, t)

    alone, corrected = (predictor_corrector(predictor, score, noise, times, 0.3, generator(), n) for n in (0, 1))
    torch.testing.assert_close(alone, solve_ode(field, noise, times, "euler"), atol=1e-12, rtol=0)
    assert distance(corrected) < 0.5 * distance(alone)


def test_predictor_and_corrector_take_turns():
    """The predictor moves from t to the next time, the corrector works there, and not at the last."""
    seen = []

    def predictor(x, t, to):
        seen.append(("predict", t, to))
        return x

    def score(x, t):
        seen.append(("correct", t))
        return torch.ones_like(x)

    predictor_corrector(predictor, score, randn(2, 1), f64([1.0, 0.5, 0.0]), 0.1, generator(), 2)
    assert seen == [("predict", 1.0, 0.5), ("correct", 0.5), ("correct", 0.5), ("predict", 0.5, 0.0)]


def test_generators_decide_everything():
    x, times = randn(5, 2), time_grid(4)
    calls = {
        "euler_maruyama": lambda g: euler_maruyama(lambda x, t: -x, lambda t: 1.0, x, times, g),
        "langevin": lambda g: langevin(lambda x: -x, x, 0.1, 4, g),
        "pc": lambda g: predictor_corrector(lambda x, t, to: x, lambda x, t: -x, x, times, 0.1, g),
    }
    for call in calls.values():
        one, again, other = call(generator(1)), call(generator(1)), call(generator(2))
        assert torch.equal(one, again) and not torch.equal(one, other)


def test_with_times_hands_a_time_to_each_row():
    seen = []
    solve_ode(with_times(lambda x, time: seen.append(time) or x), torch.zeros(3, 2), time_grid(2), "euler")
    assert [time.tolist() for time in seen] == [[1.0] * 3, [0.5] * 3] and seen[0].dtype == torch.float32
    with_times(lambda x, time: seen.append(time) or x)(torch.zeros(3, 2, device="meta"), 0.5)
    assert seen[-1].device.type == "meta", "a time belongs where the state is"


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("shape", [(1,), (4,), (2, 3)])
def test_the_divergence_is_the_trace_of_autograds_jacobian(number, shape):
    size = math.prod(shape)
    weights, x = randn(size, size, number=number), randn(6, *shape, number=number + 100)
    field = lambda x: (x.flatten(1).sin() @ weights).reshape(x.shape) * x  # noqa: E731
    value, trace = divergence(field, x)
    jacobians = [torch.autograd.functional.jacobian(lambda row: field(row[None])[0], row) for row in x]
    want = torch.stack([jacobian.reshape(size, size).trace() for jacobian in jacobians])
    torch.testing.assert_close(trace, want, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(value, field(x), atol=1e-13, rtol=0)


def test_the_divergence_of_a_constant_or_partly_constant_field():
    x = randn(3, 2)
    assert divergence(lambda x: torch.ones_like(x), x)[1].tolist() == [0, 0, 0]
    assert divergence(lambda x: torch.stack([x[:, 1], x[:, 0]], 1), x)[1].tolist() == [0, 0, 0]
    learned = torch.ones(2, dtype=torch.float64, requires_grad=True)
    for probes in (None, randn(50, 3, 2)):
        assert divergence(lambda x: learned.expand_as(x), x, probes)[1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ["signs", "normal"])
def test_hutchinsons_estimate_is_unbiased_and_has_the_variance_of_its_probes(kind):
    """2 (‖S‖² - Σ S_ii²) for signs, 2 ‖S‖² for normal probes, S the symmetric part of the Jacobian."""
    A, count = randn(4, 4, number=5), 20_000
    probes = randn(count, 1, 4, number=6)
    probes = probes.sign() if kind == "signs" else probes
    x = randn(1, 4)
    estimates = torch.stack([divergence(lambda x: x @ A.T, x, p[None])[1] for p in probes[:200]])
    by_hand = torch.einsum("pbi,ij,pbj->p", probes, A, probes)
    torch.testing.assert_close(estimates[:, 0], by_hand[:200], atol=1e-12, rtol=0)
    S = (A + A.T) / 2
    variance = 2 * (S.square().sum() - (S.diagonal().square().sum() if kind == "signs" else 0)).item()
    mean = divergence(lambda x: x @ A.T, x, probes)[1].item()
    assert mean == pytest.approx(A.trace().item(), abs=5 * (variance / count) ** 0.5)
    assert by_hand.var().item() == pytest.approx(variance, rel=0.1)


def test_divergence_and_likelihood_can_be_trained_on():
    """Gradients with respect to x and to the field's own parameters."""
    x, A = randn(3, 2).requires_grad_(), randn(2, 2, number=1).requires_grad_()
    prior = lambda x: -(x**2).sum(1) / 2  # noqa: E731
    assert torch.autograd.gradcheck(lambda x, A: divergence(lambda x: (x @ A).sin(), x, differentiable=True)[1], (x, A))
    assert torch.autograd.gradcheck(
        lambda x, A: log_likelihood(lambda x, t: (x @ A).sin(), x, prior, time_grid(2, 0.0, 1.0), differentiable=True),
        (x, A),
    )
    data = x.detach()  # a network is trained on data that carry no gradient themselves
    (slope,) = torch.autograd.grad(divergence(lambda x: x @ A, data, differentiable=True)[1].sum(), A)
    assert torch.equal(slope, 3 * torch.eye(2).double()) and not data.requires_grad
    value, trace = divergence(lambda x: (x @ A).sin(), x)
    likelihood = log_likelihood(lambda x, t: (x @ A).sin(), x, prior, time_grid(2, 0.0, 1.0))
    assert not (value.requires_grad or trace.requires_grad or likelihood.requires_grad)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_the_likelihood_of_the_exact_flow_is_the_mixtures_density(path):
    mixture, last = ring_mixture(3, 1.0, 0.4), 0.98
    begin, end = mixture.push_forward(1.0, path.sigma(0.0).item()), None
    end = mixture.push_forward(path.alpha(last).item(), path.sigma(last).item())
    x = begin.sample(20, generator())
    got = log_likelihood(exact_flow(path, mixture), x, end.log_density, time_grid(300, 0.0, last, 2.0))
    torch.testing.assert_close(got, begin.log_density(x), atol=2e-6, rtol=0)


def test_the_likelihood_of_a_linear_flow_is_the_change_of_variables():
    """dx/dt = A x: log p(x) = log p_1(e^A x) + tr A, and Hutchinson's mean over probes within five standard errors."""
    A, x = 0.5 * randn(3, 3, number=2), randn(4, 3)
    normal = lambda x: -(x**2).sum(1) / 2 - 1.5 * math.log(2 * math.pi)  # noqa: E731
    want = normal(x @ torch.linalg.matrix_exp(A).T) + A.trace()
    field, times = (lambda x, t: x @ A.T), time_grid(50, 0.0, 1.0)
    torch.testing.assert_close(log_likelihood(field, x, normal, times), want, atol=1e-8, rtol=0)
    probes = randn(4000, 4, 3, number=9).sign()
    S = (A + A.T) / 2
    error = (2 * (S.square().sum() - S.diagonal().square().sum()).item() / 4000) ** 0.5
    estimate = log_likelihood(field, x, normal, time_grid(5, 0.0, 1.0), probes=probes)
    assert (estimate - want).abs().max() < 5 * error + 1e-4


def test_bad_input_is_refused():
    x, times, rng = randn(3, 2), time_grid(4), generator()
    field = lambda x, t: -x  # noqa: E731
    with pytest.raises(TypeError, match="method"):
        solve_ode(field, x, times, "rk5")
    for bad in ([0.5], [0.0, 0.0], [0.0, 1.0, 0.5], [0.0, math.nan, 1.0]):
        with pytest.raises(ValueError, match="times must hold two or more numbers that grow or fall throughout"):
            solve_ode(field, x, f64(bad))
        with pytest.raises(ValueError, match="times must hold"):
            sde_states(field, lambda t: 1.0, x, f64(bad), rng)
    with pytest.raises(ValueError, match="times must be finite"):
        solve_ode(field, x, f64([0.0, 1.0, math.inf]))
    with pytest.raises(ValueError, match=r"field must return the shape of x, \(3, 2\), got \(3,\)"):
        solve_ode(lambda x, t: x[:, 0], x, times)
    with pytest.raises(ValueError, match=r"score must return the shape of x, \(3, 2\), got NoneType"):
        langevin(lambda x: None, x, 0.1, 2, rng)
    with pytest.raises(ValueError, match=r"predictor must return the shape of x, \(3, 2\), got \(2,\)"):
        predictor_corrector(lambda x, t, to: x[0], field, x, times, 0.1, rng)
    with pytest.raises(FloatingPointError, match="the state is not finite at 0.75"):
        solve_ode(lambda x, t: x / 0, x, times)
    for step in STEPS.values():
        with pytest.raises(FloatingPointError, match=r"the state is not finite at 1e\+300"):
            step(lambda x, t: 1e300 * x, x, 0.0, 1e300)
    with pytest.raises(ValueError, match="number of probes must be at least 1, got 0"):
        divergence(lambda x: x, x, randn(0, 3, 2))
    with pytest.raises(ValueError, match="step must be positive and finite, got 0"):
        langevin(lambda x: x, x, 0.0, 2, rng)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        langevin(lambda x: x, x, 0.1, 0, rng)
    with pytest.raises(ValueError, match="ratio must be positive and finite, got -1"):
        langevin_correction(x, x, -1.0, rng)
    with pytest.raises(ValueError, match="score must be finite and not 0 everywhere, got a mean norm of 0"):
        langevin_correction(0 * x, x, 0.1, rng)
    with pytest.raises(ValueError, match="corrections must be at least 0, got -1"):
        predictor_corrector(lambda x, t, to: x, field, x, times, 0.1, rng, -1)
    with pytest.raises(ValueError, match=r"log_prior must return a number for each row, shape \(3,\), got \(\)"):
        log_likelihood(field, x, lambda x: x.sum(), times)
    with pytest.raises(TypeError, match="probes"):
        divergence(lambda x: x, x, randn(2, 3, 3))
    with pytest.raises(ValueError, match=r"field must return the shape of x, \(3, 2\), got \(\)"):
        divergence(lambda x: x.sum(), x)
    for name, bad in (("start", -1.0), ("end", math.inf)):
        with pytest.raises(ValueError, match=f"{name} must be finite and not negative, got"):
            time_grid(4, **dict(start=1.0, end=0.0) | {name: bad})
    with pytest.raises(ValueError, match="start and end must differ, got 1.0 for both"):
        time_grid(4, 1.0, 1.0)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        time_grid(0)
    with pytest.raises(ValueError, match="power must be positive and finite, got 0"):
        time_grid(4, power=0.0)


def test_a_finite_state_whose_sum_overflows_is_no_error():
    huge = torch.full((2, 2), 3e38)
    assert torch.equal(solve_ode(lambda x, t: 0 * x, huge, time_grid(1), "euler"), huge)


def test_rows_may_be_single_numbers_or_nothing():
    x, times = randn(4), time_grid(4)
    wide = x[:, None]
    score = lambda x, t: -x  # noqa: E731
    got = predictor_corrector(lambda x, t, to: x, score, x, times, 0.1, generator())
    torch.testing.assert_close(got[:, None], predictor_corrector(lambda x, t, to: x, score, wide, times, 0.1, generator()))
    prior = lambda x: -x.square().flatten(1).sum(1) / 2 if x.ndim > 1 else -x.square() / 2  # noqa: E731
    torch.testing.assert_close(log_likelihood(score, x, prior, times), log_likelihood(score, wide, prior, times))
    assert divergence(lambda x: 2 * x, torch.zeros(3, 0))[1].tolist() == [0, 0, 0]
    with pytest.raises(TypeError, match="field must return floating-point numbers, got torch.int64"):
        divergence(lambda x: x.long(), wide)
