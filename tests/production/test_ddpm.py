"""What diffusers does where the chapter on DDPM departs from it: one test for each row of its table."""

import diffusers
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel

from lib.generative.diffusion import Schedule, ancestral_step, linear_betas

VERSION = "0.42.1"
CHANGE = f"diffusers is {diffusers.__version__}, the page says {VERSION}: change 'In production' of ddpm, the row on "


def seeded(number):
    return torch.Generator().manual_seed(number)


def mean_of_samples(**options):
    """Mean of 4000 samples by the exact guess of the noise for data from N(2, 1), in 1000 steps."""
    scheduler = DDPMScheduler(1000, beta_schedule="linear", **options)
    scheduler.set_timesteps(1000)
    generator = seeded(0)
    x = torch.randn(4000, 1, generator=generator)
    for level in scheduler.timesteps:
        bar = scheduler.alphas_cumprod[level]
        guess = (1 - bar).sqrt() * (x - 2 * bar.sqrt())
        x = scheduler.step(guess, level, x, generator=generator).prev_sample
    return x.mean().item()


def test_guesses_of_the_data_are_clipped_by_default():
    clipped, free = mean_of_samples(), mean_of_samples(clip_sample=False)
    assert clipped == pytest.approx(0.75, abs=0.03) and free == pytest.approx(1.99, abs=0.04), (
        CHANGE + f"clipping: samples end at mean {clipped:.2f}, and at {free:.2f} with clip_sample=False"
    )


def test_the_variance_is_the_posteriors_by_default():
    """A step from equal inputs: the default's noise is scaled by √β̃_t, fixed_large's by √β_t."""
    schedule, t = Schedule(linear_betas(1000)), 500
    x, guess = torch.randn(2, 1000, 1, generator=seeded(1))
    for name, options in {"posterior": {}, "beta": {"variance_type": "fixed_large"}}.items():
        scheduler = DDPMScheduler(1000, clip_sample=False, **options)
        theirs = scheduler.step(guess, t - 1, x, generator=seeded(2)).prev_sample
        ours = ancestral_step(schedule, x, t, guess, name, seeded(2))
        assert (theirs - ours).abs().max() < 5e-6, CHANGE + f"σ² = β̃: it no longer takes {name} for {options or 'no options'}"


def test_few_steps_never_visit_the_last_level():
    scheduler = DDPMScheduler(1000)
    scheduler.set_timesteps(10)
    levels = scheduler.timesteps.tolist()
    assert levels == list(range(900, -1, -100)), CHANGE + f"set_timesteps(10): it visits {levels}"


def test_a_step_in_float32_is_off_near_the_data():
    """Against float64: worst at t = 3, and a hundred times smaller from t = 100 on."""
    schedule, scheduler = Schedule(linear_betas(1000)), DDPMScheduler(1000, variance_type="fixed_large", clip_sample=False)
    x, guess = torch.randn(2, 200, 5, generator=seeded(3))
    worst = {}
    for t in (3, 100):
        theirs = scheduler.step(guess, t - 1, x, generator=seeded(t)).prev_sample
        ours = ancestral_step(schedule, x, t, guess, "beta", seeded(t))
        worst[t] = (theirs - ours).abs().max().item()
    assert 5e-5 < worst[3] < 5e-4 and worst[100] < 5e-6, CHANGE + f"float32: a step is off by {worst}"


def test_the_average_of_weights_warms_up():
    weights = torch.nn.Parameter(torch.zeros(1))
    average = EMAModel([weights], decay=0.9999)
    weights.data.fill_(1.0)
    average.step([weights])
    assert average.shadow_params[0].item() == 1.0, CHANGE + "EMAModel: the first step no longer copies the weights"
    decays = [average.get_decay(step) for step in (2, 11, 89_990, 89_991)]
    expected = [2 / 11, 11 / 20, 89_990 / 89_999, 0.9999]
    assert decays == pytest.approx(expected, rel=1e-9) and decays[2] < decays[3], CHANGE + f"EMAModel: decays {decays}"
