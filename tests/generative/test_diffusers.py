"""lib.generative.diffusion against diffusers' DDPMScheduler, at all 1000 steps."""

import pytest
import torch
from diffusers import DDPMScheduler

from lib.generative.diffusion import Schedule, add_noise, ancestral_step, linear_betas

STEPS = 1000
VARIANCES = {"beta": "fixed_large", "posterior": "fixed_small"}


@pytest.fixture(params=VARIANCES)
def variance(request):
    return request.param


def scheduler_for(variance):
    return DDPMScheduler(
        STEPS, beta_start=1e-4, beta_end=0.02, beta_schedule="linear",
        variance_type=VARIANCES[variance], clip_sample=False,
    )  # fmt: skip


def our_step(variance):
    schedule = Schedule(linear_betas(STEPS))
    return lambda x, t, noise, generator: ancestral_step(schedule, x, t, noise, variance, generator)


def deviations(scheduler, step, dtype):
    """The largest difference between the scheduler's step and ours at each t, with equal noise."""
    inputs = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(4, 5, generator=inputs, dtype=dtype) for _ in range(2))
    worst = []
    for t in range(1, STEPS + 1):
        theirs = scheduler.step(noise, t - 1, x, generator=torch.Generator().manual_seed(t)).prev_sample
        ours = step(x, t, noise, torch.Generator().manual_seed(t))
        assert ours.dtype == theirs.dtype == dtype
        worst.append((ours - theirs).abs().max().item())
    return torch.tensor(worst)


def test_ancestral_step_in_float64(variance):
    """Given its tables in float64, the scheduler does what `ancestral_step` does."""
    scheduler = scheduler_for(variance)
    scheduler.alphas_cumprod = (1 - linear_betas(STEPS)).cumprod(0)
    scheduler.one = torch.ones((), dtype=torch.float64)
    assert deviations(scheduler, our_step(variance), torch.float64).max() < 2e-12


def test_ancestral_step_in_float32(variance):
    """Its own float32 tables cancel near t = 1: it is 1.6e-4 off at t = 3, and 2.5e-6 from t = 100 on."""
    found = deviations(scheduler_for(variance), our_step(variance), torch.float32)
    assert found.max() < 3e-4
    assert found[99:].max() < 4e-6


def test_the_difference_in_float32_is_the_rounding_of_its_tables(variance):
    """The formulas of `ancestral_step`, in float32 and from the scheduler's own ᾱ, give its every digit."""
    scheduler = scheduler_for(variance)
    bars = torch.cat([torch.ones(1), scheduler.alphas_cumprod])

    def step(x, t, noise, generator):
        alpha = bars[t] / bars[t - 1]
        beta, left, left_before = 1 - alpha, 1 - bars[t], 1 - bars[t - 1]
        data = (x - left**0.5 * noise) / bars[t] ** 0.5
        mean = bars[t - 1] ** 0.5 * beta / left * data + alpha**0.5 * left_before / left * x
        if t == 1:
            return mean
        spread = beta if variance == "beta" else left_before / left * beta
        return mean + spread**0.5 * torch.randn(x.shape, generator=generator)

    assert deviations(scheduler, step, torch.float32).max() == 0


def test_add_noise():
    """To 1e-6 from the scheduler's own ᾱ; its rounding of 1 - ᾱ moves our tables by four times that."""
    scheduler = scheduler_for("beta")
    bars = torch.cat([torch.ones(1), scheduler.alphas_cumprod]).double()
    own = Schedule(1 - bars[1:] / bars[:-1])
    generator = torch.Generator().manual_seed(0)
    x_0, noise = (torch.randn(STEPS, 6, generator=generator) for _ in range(2))
    t = torch.arange(1, STEPS + 1)
    theirs = scheduler.add_noise(x_0, noise, t - 1)
    assert (add_noise(own, x_0, t, noise) - theirs).abs().max() < 1e-6
    assert (add_noise(Schedule(linear_betas(STEPS)), x_0, t, noise) - theirs).abs().max() < 1e-5
