"""What diffusers does where the chapter on EDM departs from it, and what it has in common with lib."""

import diffusers
import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler, HeunDiscreteScheduler

from lib.generative.mixtures import ring_mixture
from lib.generative.solvers import heun_step, time_grid

VERSION = "0.42.1"
CHANGE = f"diffusers is {diffusers.__version__}, the page says {VERSION}: change 'In production' of edm, the row on "
STEPS = 18
RING = ring_mixture(8, 0.7, 0.07)
LEVELS = torch.cat([time_grid(STEPS - 1, 80.0, 0.002, power=7.0), torch.zeros(1)])


def factors(sigma, sigma_d=0.5):
    """c_skip, c_out and c_in, (11) and (12) of the chapter."""
    total = sigma**2 + sigma_d**2
    return sigma_d**2 / total, sigma * sigma_d / total**0.5, 1 / total**0.5


def raw_output(x, sigma):
    """F of the exact denoiser."""
    c_skip, c_out, _ = factors(sigma)
    return ((RING.denoise(x.double(), 1.0, sigma) - c_skip * x.double()) / c_out).float()


def noise(*shape, level=80.0):
    return level * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def mean_with_churn(churn):
    """Mean of 4000 samples in 200 steps, for data from N(1, 1/4) and the exact F, which does not depend on x."""
    scheduler, generator = EDMEulerScheduler(), torch.Generator().manual_seed(1)
    scheduler.set_timesteps(200)
    x = noise(4000, 1)
    for sigma, t in zip(scheduler.sigmas.tolist(), scheduler.timesteps, strict=False):
        scheduler.scale_model_input(x, t)
        c_skip, c_out, _ = factors(sigma)
        x = scheduler.step(torch.full_like(x, (1 - c_skip) / c_out), t, x, s_churn=churn, generator=generator).prev_sample
    return x.mean().item()


def test_the_network_is_not_told_of_the_churn():
    without, churned = mean_with_churn(0.0), mean_with_churn(80.0)
    assert without == pytest.approx(0.994, abs=0.03) and churned == pytest.approx(0.773, abs=0.03), (
        CHANGE + f"s_churn: mean {without:.3f} without, {churned:.3f} with s_churn=80"
    )


def test_edm_euler_wants_the_raw_network():
    scheduler = EDMEulerScheduler()
    scheduler.set_timesteps(STEPS)
    x, t, sigma = noise(64, 2), scheduler.timesteps[0], LEVELS[0].item()
    c_skip, c_out, c_in = factors(sigma)
    assert (scheduler.scale_model_input(x, t) - c_in * x).abs().max() < 1e-6, CHANGE + "EDMEulerScheduler: its c_in is another"
    assert (scheduler.timesteps - LEVELS[:-1].log() / 4).abs().max() < 1e-6, CHANGE + "EDMEulerScheduler: its condition is another"
    denoised = RING.denoise(x.double(), 1.0, sigma).float()
    step = scheduler.step(denoised, t, x)
    assert (step.pred_original_sample - (c_skip * x + c_out * denoised)).abs().max() < 1e-5, (
        CHANGE + "EDMEulerScheduler: a denoised output is no longer multiplied by c_out"
    )


def test_heun_takes_the_ends_of_the_betas():
    scheduler = HeunDiscreteScheduler(use_karras_sigmas=True)
    scheduler.set_timesteps(STEPS)
    first, last = scheduler.sigmas[0].item(), scheduler.sigmas[-2].item()
    assert first == pytest.approx(25.1, abs=0.1) and last == pytest.approx(0.0292, abs=1e-4) and len(scheduler.timesteps) == 35, (
        CHANGE + f"HeunDiscreteScheduler: levels from {first:.4g} to {last:.4g}, {len(scheduler.timesteps)} calls"
    )
    ddpm = HeunDiscreteScheduler(beta_start=1e-4, beta_end=0.02, use_karras_sigmas=True)
    ddpm.set_timesteps(STEPS)
    assert ddpm.sigmas[0].item() == pytest.approx(157, abs=1) and ddpm.sigmas[-2].item() == pytest.approx(0.01, abs=1e-4), (
        CHANGE + f"HeunDiscreteScheduler: with DDPM's betas from {ddpm.sigmas[0]:.4g} to {ddpm.sigmas[-2]:.4g}"
    )
    levels = torch.cat([scheduler.sigmas[:1], scheduler.sigmas[1:-1:2]])
    assert (levels / time_grid(STEPS - 1, first, last, power=7.0) - 1).abs().max() < 1e-6, CHANGE + "HeunDiscreteScheduler: ρ is not 7"
    with pytest.raises(TypeError):
        HeunDiscreteScheduler(use_karras_sigmas=True, sigma_min=0.002)


@pytest.mark.parametrize("scheduler", [EDMEulerScheduler(), EDMDPMSolverMultistepScheduler()], ids=["euler", "dpm-solver"])
def test_levels_are_those_of_the_paper(scheduler):
    scheduler.set_timesteps(STEPS)
    assert (scheduler.sigmas[:-1] / LEVELS[:-1] - 1).abs().max() < 1e-6, f"diffusers {diffusers.__version__}: its levels are others"


def test_edm_euler_is_the_step_of_the_page():
    scheduler = EDMEulerScheduler()
    scheduler.set_timesteps(STEPS)
    x = noise(64, 2)
    for i, t in enumerate(scheduler.timesteps):
        sigma, to = LEVELS[i].item(), LEVELS[i + 1].item()
        scheduler.scale_model_input(x, t)
        ours = x + (to - sigma) * (x.double() - RING.denoise(x.double(), 1.0, sigma)) / sigma
        x = scheduler.step(raw_output(x, sigma), t, x).prev_sample
        assert (x - ours).abs().max() <= 5e-7 * ours.abs().max(), f"diffusers {diffusers.__version__}: its Euler step {i} is another"


def test_heun_is_the_step_of_lib():
    scheduler = HeunDiscreteScheduler(use_karras_sigmas=True)
    scheduler.set_timesteps(STEPS)
    levels = torch.cat([scheduler.sigmas[:1], scheduler.sigmas[1:-1:2]]).double()
    start = x = noise(64, 2, level=levels[0].item()).float()
    for i, t in enumerate(scheduler.timesteps):
        level = levels[(i + 1) // 2].item()
        scheduler.scale_model_input(x, t)
        guess = (x.double() - RING.denoise(x.double(), 1.0, level)) / level
        x = scheduler.step(guess.float(), t, x).prev_sample
    ours = start.double()
    for sigma, to in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        ours = heun_step(lambda x, s: (x - RING.denoise(x, 1.0, s)) / s, ours, sigma, to)
    ours = RING.denoise(ours, 1.0, levels[-1].item())
    assert (x - ours).abs().max() < 2e-5, f"diffusers {diffusers.__version__}: its Heun is another"
