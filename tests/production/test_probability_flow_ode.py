"""What libraries do where the chapter on the probability-flow ODE departs from them, and what they have in common."""

from itertools import pairwise

import diffusers
import numpy as np
import pytest
import torch
import torchdiffeq
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from scipy.integrate import solve_ivp

from lib.generative.mixtures import two_humps
from lib.generative.paths import VP
from lib.generative.predictions import exact_flow
from lib.generative.solvers import solve_ode, time_grid

DIFFUSERS, TORCHDIFFEQ = "0.42.1", "0.2.5"
PAGE = "change 'In production' of probability-flow-ode, the row on "
CHANGE = f"diffusers is {diffusers.__version__}, the page says {DIFFUSERS}: " + PAGE
CHANGE_ODE = f"torchdiffeq is {torchdiffeq.__version__}, the page says {TORCHDIFFEQ}: " + PAGE

TWO_HUMPS = two_humps()
POINTS = torch.tensor([[-1.8], [-1.4], [0.5], [0.9], [1.4]], dtype=torch.float64)


def noise_of(scheduler, x, t, mean, deviation):
    """The exact mean noise of data from N(mean, deviation²)."""
    bar = scheduler.alphas_cumprod[t].double()
    return (1 - bar).sqrt() * (x - bar.sqrt() * mean) / (bar * deviation**2 + 1 - bar)


def ddim_samples(steps, clip=False, **options):
    """Times, and mean and deviation of 4000 samples of N(2, 4) with exact noises."""
    scheduler = DDIMScheduler(clip_sample=clip, **options)
    scheduler.set_timesteps(steps)
    x = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x - x.mean()) / x.std()
    for t in scheduler.timesteps.tolist():
        x = scheduler.step(noise_of(scheduler, x, t, 2.0, 2.0), t, x).prev_sample
    return scheduler.timesteps.tolist(), x.mean().item(), x.std().item()


def test_guesses_are_clipped_unless_told_otherwise():
    assert DDIMScheduler().config.clip_sample, CHANGE + "clip_sample: it is off by default now"
    _, mean, deviation = ddim_samples(50, clip=True)
    assert (mean, deviation) == pytest.approx((-0.27, 0.49), abs=0.01), CHANGE + f"clip_sample: {mean:.3f}, {deviation:.3f}"
    _, mean, deviation = ddim_samples(50)
    assert (mean, deviation) == pytest.approx((2, 2), abs=0.1), CHANGE + f"clip_sample: {mean:.3f}, {deviation:.3f} without it"


def test_linspace_calls_the_model_at_levels_that_it_does_not_land_on():
    times, mean, _ = ddim_samples(10, timestep_spacing="linspace")
    assert times[:3] == [999, 888, 777], CHANGE + f"linspace: times {times[:3]}"
    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="linspace")
    scheduler.set_timesteps(10)
    x = torch.ones(1, 1, dtype=torch.float64)
    theirs = scheduler.step(torch.zeros_like(x), 999, x).prev_sample
    bars = scheduler.alphas_cumprod.double()
    assert theirs.item() == pytest.approx((bars[899] / bars[999]).sqrt().item(), rel=1e-6), CHANGE + "linspace: lands elsewhere"
    trailing = ddim_samples(10, timestep_spacing="trailing")[1]
    assert (mean, trailing) == pytest.approx((1.72, 1.98), abs=0.01), CHANGE + f"linspace: means {mean:.3f}, {trailing:.3f}"


def orders_of(steps, **options):
    scheduler = DPMSolverMultistepScheduler(**options)
    scheduler.set_timesteps(steps)
    orders = []

    def noted(method, order):
        def step(*args, **kwargs):
            orders.append(order)
            return method(*args, **kwargs)

        return step

    scheduler.dpm_solver_first_order_update = noted(scheduler.dpm_solver_first_order_update, 1)
    scheduler.multistep_dpm_solver_second_order_update = noted(scheduler.multistep_dpm_solver_second_order_update, 2)
    x = torch.ones(2, 1)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.zeros_like(x), t, x).prev_sample
    return orders


def test_the_last_step_to_zero_noise_has_order_one():
    expected = [1] + 18 * [2]
    for lower in (True, False):
        orders = orders_of(20, lower_order_final=lower)
        assert orders == [*expected, 1], CHANGE + f"final_sigmas_type: orders {orders}, lower_order_final={lower}"
    assert orders_of(20, final_sigmas_type="sigma_min") == [*expected, 2], CHANGE + "final_sigmas_type: sigma_min"
    for steps, lower, last in ((14, True, 1), (15, True, 2), (14, False, 2)):
        orders = orders_of(steps, final_sigmas_type="sigma_min", lower_order_final=lower)
        assert orders[-1] == last, CHANGE + f"final_sigmas_type: sigma_min, {steps} steps, lower_order_final={lower}: {orders}"


def errors_of_rk4(between, steps=(16, 32, 64, 128)):
    """Errors for x' = x cos t over [0, 2], at the end or at a time between grid points."""
    errors = []
    for n in steps:
        grid = torch.linspace(0, 2, n + 1, dtype=torch.float64)
        at = (grid[n // 2] + grid[n // 2 + 1]) / 2 if between else grid[-1]
        times = torch.stack([grid[0], at]) if not between else torch.stack([grid[0], at, grid[-1]])
        x = torchdiffeq.odeint(
            lambda t, x: x * t.cos(), torch.ones(1, dtype=torch.float64), times, method="rk4", options={"step_size": 2 / n}
        )
        errors.append((x[1] - at.sin().exp()).abs().item())
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


def test_rk4_of_torchdiffeq_has_order_two_between_grid_points():
    orders = errors_of_rk4(False), errors_of_rk4(True)
    assert orders == pytest.approx((4, 2), abs=0.3), CHANGE_ODE + f"rk4: orders {orders} at and between grid points"


def test_rk4_of_torchdiffeq_is_the_rule_of_three_eighths():
    def field(t, x):
        return x**2 + t

    h, x = 0.1, torch.tensor([0.7], dtype=torch.float64)
    times = torch.tensor([0.0, h], dtype=torch.float64)
    theirs = torchdiffeq.odeint(field, x, times, method="rk4")[1]
    a = field(0.0, x)
    b = field(h / 3, x + h * a / 3)
    c = field(2 * h / 3, x + h * (b - a / 3))
    d = field(h, x + h * (a - b + c))
    assert (theirs - (x + h * (a + 3 * b + 3 * c + d) / 8)).abs() < 1e-14, CHANGE_ODE + "rk4: no longer the 3/8 rule"
    classical = solve_ode(lambda x, t: field(t, x), x[:, None], times)[0]
    assert (theirs - classical).abs() > 1e-9, CHANGE_ODE + "rk4: it is the classical method now"


def test_runge_kutta_agrees_with_dop853_and_dopri5():
    flow = exact_flow(VP(), TWO_HUMPS)
    ours = solve_ode(flow, POINTS, time_grid(400, 0.0, 1.0, power=2.0))[:, 0]

    def right_side(t, x):
        return flow(torch.as_tensor(x)[:, None], t)[:, 0].numpy()

    scipys = solve_ivp(right_side, (0.0, 1.0), POINTS[:, 0].numpy(), method="DOP853", rtol=1e-11, atol=1e-11).y[:, -1]
    assert np.abs(scipys - ours.numpy()).max() < 2e-9
    adaptive = torchdiffeq.odeint(lambda t, x: flow(x, min(t.item(), 1.0)), POINTS, torch.tensor([0.0, 1.0]).double(), rtol=1e-8, atol=1e-8)[1]
    assert (adaptive[:, 0] - ours).abs().max() < 1e-6


def test_ddim_is_euler_on_the_clock_of_noise_levels():
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(20)
    bars = scheduler.alphas_cumprod.double()
    theirs = ours = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    for t in scheduler.timesteps.tolist():
        theirs = scheduler.step(noise_of(scheduler, theirs, t, 0.5, 0.6), t, theirs).prev_sample
        bar, after = bars[t], bars[t - 50] if t >= 50 else torch.tensor(1.0).double()
        level, to = (1 / bar - 1).sqrt(), (1 / after - 1).sqrt()
        ours = after.sqrt() * (ours / bar.sqrt() + (to - level) * noise_of(scheduler, ours, t, 0.5, 0.6))
    assert (theirs - ours).abs().max() < 1e-5


def test_two_m_is_the_multistep_solver_of_diffusers():
    scheduler = DPMSolverMultistepScheduler(lower_order_final=False, final_sigmas_type="sigma_min")
    scheduler.set_timesteps(20)
    levels = scheduler.sigmas.double()
    alphas = 1 / (1 + levels**2).sqrt()
    sigmas = levels * alphas
    x = theirs = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    before = h_before = None
    for i, t in enumerate(scheduler.timesteps.tolist()):
        guess = 0.5 + alphas[i] * 0.36 / (alphas[i] ** 2 * 0.36 + sigmas[i] ** 2) * (x - alphas[i] * 0.5)
        h = (levels[i] / levels[i + 1]).log()
        middle = guess if before is None else guess + h / (2 * h_before) * (guess - before)
        x = sigmas[i + 1] / sigmas[i] * x + alphas[i + 1] * (1 - (-h).exp()) * middle
        before, h_before = guess, h
        noise = sigmas[i] * (theirs - alphas[i] * 0.5) / (alphas[i] ** 2 * 0.36 + sigmas[i] ** 2)
        theirs = scheduler.step(noise, t, theirs).prev_sample
    assert (theirs - x).abs().max() < 1e-5


def test_the_ladder_of_times_has_no_gap():
    """DDIM's default spacing goes from each called level to the next one."""
    times = ddim_samples(10)[0]
    assert all(a - b == 100 for a, b in pairwise(times)) and times[0] == 900, CHANGE + f"linspace: default times {times}"
