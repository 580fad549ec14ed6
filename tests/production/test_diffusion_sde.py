"""What diffusers does where the chapter on diffusion SDEs departs from it, and what it has in common with lib."""

import diffusers
import pytest
import torch
from diffusers import ScoreSdeVeScheduler
from diffusers.schedulers.deprecated.scheduling_sde_vp import ScoreSdeVpScheduler

from lib.generative.paths import VE, VP
from lib.generative.predictions import reverse_sde
from lib.generative.solvers import langevin_correction, sde_states

VERSION = "0.42.1"
CHANGE = f"diffusers is {diffusers.__version__}, the page says {VERSION}: change 'In production' of diffusion-sde, the row on "


def seeded(number):
    return torch.Generator().manual_seed(number)


def ve_samples(set_levels):
    """Deviation of 2000 samples in 200 steps with the exact score of data from N(0, 4)."""
    scheduler, generator = ScoreSdeVeScheduler(), seeded(0)
    scheduler.set_timesteps(200)
    if set_levels:
        scheduler.set_sigmas(200)
    x = scheduler.init_noise_sigma * torch.randn(2000, 1, generator=generator)
    for t in scheduler.timesteps:
        level = VE(0.01, 1348.0).sigma(t.item()).float()
        x = scheduler.step_pred(-x / (4 + level**2), t, x, generator=generator).prev_sample
    return x.std().item()


def test_times_alone_leave_pure_noise():
    left, right = ve_samples(False), ve_samples(True)
    assert left > 1300 and right == pytest.approx(2, abs=0.2), (
        CHANGE + f"set_timesteps: deviation {left:.2f} without set_sigmas, {right:.2f} with it"
    )


def vp_samples(guess):
    """Deviation of 2000 samples in 1000 steps for data from N(0, 1/4)."""
    scheduler, path, generator = ScoreSdeVpScheduler(), VP(), seeded(0)
    scheduler.set_timesteps(1000)
    x = torch.randn(2000, 1, generator=generator)
    for t in scheduler.timesteps:
        alpha, sigma = path.alpha(t.item()).float(), path.sigma(t.item()).float()
        score = -x / (alpha**2 / 4 + sigma**2)
        x, _ = scheduler.step_pred(guess(score, sigma), x, t.expand(2000), generator=generator)
    return x.std().item()


def test_the_score_of_the_vp_scheduler_is_the_noise():
    noise, score = vp_samples(lambda s, sigma: -sigma * s), vp_samples(lambda s, sigma: s)
    assert noise == pytest.approx(0.5, abs=0.03) and score > 1e6, (
        CHANGE + f"ScoreSdeVpScheduler: deviation {noise:.2f} from noises, {score:.3g} from scores"
    )


def test_a_correction_depends_on_the_batch():
    scheduler = ScoreSdeVeScheduler()
    scheduler.set_timesteps(10)
    x = torch.randn(8, 3, generator=seeded(1))
    score = -x
    together = scheduler.step_correct(score, x, generator=seeded(2)).prev_sample
    alone = scheduler.step_correct(score[:1], x[:1], generator=seeded(2)).prev_sample
    assert (together[0] - alone[0]).abs().max() > 1e-3, CHANGE + "step_correct: a sample no longer depends on its neighbours"
    ours = langevin_correction(score, x, scheduler.config.snr, seeded(2))
    assert (together - ours).abs().max() < 1e-6, CHANGE + "step_correct: it no longer is (D3)"


def test_the_ve_step_takes_away_the_difference_of_variances():
    steps = 50
    scheduler = ScoreSdeVeScheduler()
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    x, score = torch.randn(2, 16, 3, generator=seeded(3))
    for t in scheduler.timesteps[:-1]:
        i = int(t * (steps - 1))
        lost = scheduler.discrete_sigmas[i] ** 2 - scheduler.discrete_sigmas[i - 1] ** 2
        theirs = scheduler.step_pred(score, t, x, generator=seeded(4)).prev_sample
        ours = x + lost * score + lost.sqrt() * torch.randn(x.shape, generator=seeded(4))
        assert (theirs - ours).abs().max() <= 1e-6 * ours.abs().max(), f"diffusers {diffusers.__version__}: its VE step {i} is another"


def test_the_vp_step_is_euler_maruyama():
    scheduler, path, steps = ScoreSdeVpScheduler(), VP(), 100
    scheduler.set_timesteps(steps)
    x, score = torch.randn(2, 16, 3, generator=seeded(5))
    for t in (0.9, 0.5, 0.1):
        guess = -path.sigma(t).float() * score
        theirs, _ = scheduler.step_pred(guess, x, torch.full((16,), t), generator=seeded(6))
        drift, diffusion = reverse_sde(path, lambda x, t: score)
        states = sde_states(lambda x, t: drift(x, t).float(), diffusion, x, torch.tensor([t, t - 1 / steps]).double(), seeded(6))
        *_, ours = states
        assert (theirs - ours).abs().max() < 1e-5, f"diffusers {diffusers.__version__}: its VP step at t = {t}"
