"""Masked diffusion against flow_matching and diffusers."""

import pytest
import torch
from diffusers import BlockRefinementScheduler, DiscreteDDIMScheduler
from flow_matching.loss import MixturePathGeneralizedKL
from flow_matching.path import MixtureDiscreteProbPath
from flow_matching.path.scheduler import PolynomialConvexScheduler

from lib.generative.masking import denoiser_log_probs, fill, mask_tokens, masked_diffusion_loss
from lib.generative.rates import UniformRates

MASK = 6


def generator(number=0):
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
def test_the_loss_is_flow_matchings_generalized_kl_on_our_logits(t):
    """Its time runs the other way, 1 - t, and it takes plain logits: it is given ours after the two rules."""
    clean = torch.randint(MASK, (5, 9), generator=generator())
    masked = mask_tokens(clean, t, MASK, generator(1))
    logits = torch.randn(5, 9, MASK + 1, generator=generator(2))
    theirs = MixturePathGeneralizedKL(MixtureDiscreteProbPath(PolynomialConvexScheduler(n=1)), reduction="none")(
        denoiser_log_probs(logits, masked, MASK).clamp(min=-1e9), clean, masked, torch.full((5,), 1 - t)
    )
    ours = masked_diffusion_loss(logits, clean, masked, t, MASK)
    torch.testing.assert_close(ours, theirs.sum(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 3, 4, 8])
def test_filling_by_confidence_is_the_block_refinement_scheduler(steps):
    """Greedy, and with a threshold that no probability passes, it commits the same tokens in the same steps."""
    length = 8
    weights = torch.randn(MASK + 1, length, MASK + 1, generator=generator(3))
    weights[..., MASK] = -1e9
    place = torch.arange(length)

    def network(tokens):
        around = weights[tokens[:, (place - 1) % length], place] + weights[tokens[:, (place + 1) % length], place]
        return around + weights[tokens[:, :1], place] / 2

    start = torch.full((4, length), MASK)
    theirs, scheduler = start.clone(), BlockRefinementScheduler(block_length=length, num_inference_steps=steps)
    scheduler.set_timesteps(steps)
    for step in range(steps):
        theirs = scheduler.step(
            network(theirs), step, theirs, mask_token_id=MASK, temperature=0.0, threshold=2.0
        ).prev_sample
    ours = fill(network, start, steps, MASK, generator(), order="confidence", temperature=0.0)
    assert torch.equal(ours, theirs)


def test_uniform_rates_give_the_posterior_of_the_discrete_ddim_scheduler():
    """From state 2 and a network sure of 1: q(x_s | x_t, x_0) by Bayes' rule, in 200,000 of its draws."""
    rates, count = UniformRates(4), 200_000
    kept_t, kept_s = torch.tensor(3 / 8), torch.tensor(4 / 8)
    to_s, to_t, between = (rates.transition(-kept.log().item()) for kept in (kept_s, kept_t, kept_t / kept_s))
    want = between[2] * to_s[:, 1] / to_t[2, 1]
    scheduler = DiscreteDDIMScheduler(num_inference_steps=8)
    scheduler.set_timesteps(8)
    logits = torch.full((1, count, 4), -1e4)
    logits[..., 1] = 1e4
    drawn = scheduler.step(
        logits, 3, torch.full((1, count), 2), temperature=1.0, generator=generator(5)
    ).prev_sample
    seen = torch.stack([(drawn == v).double().mean() for v in range(4)])
    assert ((seen - want).abs() < 4.5 * (want * (1 - want) / count).sqrt()).all()
