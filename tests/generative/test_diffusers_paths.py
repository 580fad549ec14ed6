"""lib.generative's paths and solvers against diffusers' schedulers: DDIM, EDM, Heun, flow matching, score SDE."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    ScoreSdeVeScheduler,
)

from lib.generative.mixtures import ring_mixture
from lib.generative.paths import EDM, VE, VP, RectifiedFlow
from lib.generative.predictions import convert
from lib.generative.solvers import euler_step, heun_step, langevin_correction, ode_states, time_grid

MIXTURE = ring_mixture(8, 1.0, 0.2)


def generator(number=0):
    return torch.Generator().manual_seed(number)


def normal(*shape, number=0):
    return torch.randn(*shape, generator=generator(number), dtype=torch.float64)


def relative(ours, theirs):
    return ((ours - theirs).norm() / theirs.norm()).item()


def ode_of_edm(x, sigma):
    """dx/dσ = (x - D) / σ, Karras et al.'s field on their own clock."""
    return (x - MIXTURE.denoise(x, 1.0, sigma)) / sigma


def test_ddim_is_noise_added_to_the_predicted_data():
    """DDIM's step is `add_noise` at the earlier level, of the predicted data and noise: a path with DDPM's ᾱ."""
    theirs = DDIMScheduler(1000, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    theirs.set_timesteps(20)
    path, x, worst = VP(beta_max=21.0), normal(50, 2), 0.0  # its levels reach beyond theirs
    levels = [theirs.alphas_cumprod[t].double() for t in theirs.timesteps] + [torch.ones(()).double()]
    times = [path.time_at((1 / level - 1).sqrt()).item() for level in levels]
    for step, (t, to) in enumerate(zip(times[:-1], times[1:], strict=True)):
        noise = -path.sigma(t) * MIXTURE.score(x, path.alpha(t), path.sigma(t))
        want = theirs.step(noise, theirs.timesteps[step], x, eta=0.0).prev_sample
        x = path.add_noise(convert(path, noise, x, t, "noise", "data"), to, noise)
        worst = max(worst, relative(x, want))
    assert worst < 2e-6


def test_edms_noise_levels_and_euler_steps():
    theirs = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0)
    theirs.set_timesteps(18)
    levels = EDM().sigma(time_grid(17))
    assert relative(levels, theirs.sigmas[:-1].double()) < 2e-7
    x = 80 * normal(40, 2)
    for step, (sigma, to) in enumerate(zip(theirs.sigmas[:-1].tolist(), theirs.sigmas[1:].tolist(), strict=True)):
        data = MIXTURE.denoise(x, 1.0, sigma)
        skip, out = 0.25 / (sigma**2 + 0.25), sigma * 0.5 / (sigma**2 + 0.25) ** 0.5
        theirs.scale_model_input(x, theirs.timesteps[step])
        want = theirs.step((data - skip * x) / out, theirs.timesteps[step], x).prev_sample
        x = euler_step(ode_of_edm, x, sigma, to)
        assert relative(x, want) < 2e-6


def test_heuns_step_is_that_of_the_scheduler():
    """Fed the exact noise at both ends; its last step, to σ = 0, is Euler's."""
    theirs = HeunDiscreteScheduler(1000, use_karras_sigmas=True)
    theirs.set_timesteps(12)
    sigmas = theirs.sigmas.double().unique().flip(0).tolist()
    assert len(sigmas) == 13 and sigmas[-1] == 0
    x = sigmas[0] * normal(40, 2)
    for sigma, to in zip(sigmas[:-1], sigmas[1:], strict=True):
        ours, state = (heun_step if to else euler_step)(ode_of_edm, x, sigma, to), x
        for level in (sigma, to) if to else (sigma,):
            timestep = theirs.timesteps[theirs.step_index or 0]
            state = theirs.step(ode_of_edm(state, level), timestep, state).prev_sample
        assert relative(ours, state) < 2e-6
        x = ours


def test_flow_matching_is_euler_on_rectified_flow():
    theirs = FlowMatchEulerDiscreteScheduler(1000)
    theirs.set_timesteps(sigmas=time_grid(10)[:-1].tolist())
    path, x = RectifiedFlow(), normal(40, 2)

    def field(x, t):
        return convert(path, MIXTURE.denoise(x, path.alpha(t), path.sigma(t)), x, t, "data", "velocity")

    ours, state = list(ode_states(field, x, time_grid(10), "euler")), x
    for step, timestep in enumerate(theirs.timesteps):
        state = theirs.step(field(ours[step], 1 - step / 10), timestep, ours[step], return_dict=False)[0]
        assert relative(ours[step + 1], state) < 2e-6
    sample, noise = normal(10, 2, number=1), normal(10, 2, number=2)
    scaled = theirs.scale_noise(sample, theirs.timesteps[3:4], noise)
    assert relative(path.add_noise(sample, 0.7, noise), scaled) < 1e-6


@pytest.fixture
def score_sde():
    theirs = ScoreSdeVeScheduler(num_train_timesteps=100, snr=0.16, sigma_min=0.01, sigma_max=10.0)
    theirs.set_timesteps(100)
    theirs.set_sigmas(100)
    return theirs


def test_noise_levels_of_the_score_sde_are_ves(score_sde):
    levels = VE(0.01, 10.0).sigma(time_grid(99, 0.0, 1.0))
    assert relative(levels, score_sde.discrete_sigmas.double()) < 1e-6


def test_langevins_correction_is_that_of_the_score_sde(score_sde):
    x = normal(30, 2).float()
    score = MIXTURE.score(x, 1.0, 0.5)
    want = score_sde.step_correct(score, x, generator=generator(3)).prev_sample
    assert relative(langevin_correction(score, x, 0.16, generator(3)), want) < 1e-6


def test_the_predictor_of_the_score_sde_is_the_reverse_diffusion_of_ve(score_sde):
    """x + (σ² - σ'²) s + √(σ² - σ'²) z: the reverse SDE's step with the exact increase of the variance."""
    path, times = VE(0.01, 10.0), time_grid(99)
    x, step = 10 * normal(30, 2).float(), 40
    level, lower = (path.sigma(times[step + i].item()).item() for i in (0, 1))
    score, z = MIXTURE.score(x, 1.0, level), torch.randn(30, 2, generator=generator(4))
    want = score_sde.step_pred(score, score_sde.timesteps[step], x, generator=generator(4)).prev_sample
    grown = level**2 - lower**2
    assert relative(x + grown * score + grown**0.5 * z, want) < 1e-5
