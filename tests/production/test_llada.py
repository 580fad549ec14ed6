"""What flow_matching and diffusers do where the chapter on masked diffusion departs from them."""

from importlib.metadata import version

import pytest
import torch
from diffusers import BlockRefinementScheduler
from flow_matching.loss import MixturePathGeneralizedKL
from flow_matching.path import MixtureDiscreteProbPath
from flow_matching.path.scheduler import PolynomialConvexScheduler

from lib.generative.masking import denoiser_log_probs, fill, mask_tokens, masked_diffusion_loss

PAGE = "book/discrete-diffusion/llada.ipynb, section In production"
FLOW_MATCHING = f"flow_matching {version('flow_matching')} (1.0.10 on the page): mend the row in {PAGE}"
DIFFUSERS = f"diffusers {version('diffusers')} (0.42.1 on the page): mend the row in {PAGE}"
MASK = 5


def generator(number=0):
    return torch.Generator().manual_seed(number)


def test_the_generalized_kl_charges_for_visible_places_and_runs_backwards():
    t, clean = 0.3, torch.randint(MASK, (6, 8), generator=generator())
    masked = mask_tokens(clean, t, MASK, generator(1))
    logits = torch.randn(6, 8, MASK + 1, generator=generator(2), dtype=torch.float64)
    measure = MixturePathGeneralizedKL(MixtureDiscreteProbPath(PolynomialConvexScheduler(n=1)), reduction="none")
    ruled = denoiser_log_probs(logits, masked, MASK).clamp(min=-1e9)

    def theirs(given, time):
        return measure(given, clean, masked, torch.full((6,), time, dtype=torch.float64))

    ours = masked_diffusion_loss(logits, clean, masked, t, MASK)
    torch.testing.assert_close(theirs(ruled, 1 - t).sum(1), ours, atol=1e-9, rtol=1e-9, msg=FLOW_MATCHING)
    visible, plain = masked != MASK, logits.log_softmax(-1)
    own = plain.gather(-1, masked[..., None])[..., 0].exp()
    charged = theirs(logits, 1 - t)[visible]
    torch.testing.assert_close(charged, (1 - own[visible]) / t, atol=1e-9, rtol=1e-9, msg=FLOW_MATCHING)
    assert charged.min() > 0, FLOW_MATCHING
    assert (theirs(ruled, t).sum(1) / ours - t / (1 - t)).abs().max() < 1e-9, FLOW_MATCHING


def refine(network, start, steps, *, block, **options):
    """How many masks are left after each step, and the text."""
    scheduler, x, left = BlockRefinementScheduler(block_length=block, num_inference_steps=steps), start.clone(), []
    scheduler.set_timesteps(steps)
    for step in range(steps):
        x = scheduler.step(network(x), step, x, mask_token_id=MASK, **options).prev_sample
        left.append(int((x == MASK).sum()))
    return left, x


def sure_of(probability, length, also_mask=0.0):
    """A network whose likeliest letter has this probability at every place; the letter is the place's number modulo 5."""
    rest = (1 - probability - also_mask) / (MASK - 1)
    table = torch.full((length, MASK + 1), rest)
    table[torch.arange(length), torch.arange(length) % MASK] = probability
    table[:, MASK] = also_mask
    return lambda x: table.log().expand(len(x), -1, -1)


def test_places_above_the_threshold_are_kept_at_once():
    start = torch.full((1, 8), MASK)
    assert refine(sure_of(0.96, 8), start, 4, block=8)[0] == [0, 0, 0, 0], DIFFUSERS
    assert refine(sure_of(0.94, 8), start, 4, block=8)[0] == [6, 4, 2, 0], DIFFUSERS
    assert refine(sure_of(0.96, 8), start, 4, block=8, threshold=2.0)[0] == [6, 4, 2, 0], DIFFUSERS


def test_the_block_is_shared_out_and_not_its_masks():
    start = torch.tensor([[0, 1, 2, 3, MASK, MASK, MASK, MASK]])
    left, text = refine(sure_of(0.9, 8), start, 4, block=8)
    assert left == [2, 0, 0, 0] and text[0, :4].tolist() == [0, 1, 2, 3], DIFFUSERS
    seen = []

    def network(x):
        seen.append(int((x == MASK).sum()))
        return sure_of(0.9, 8)(x)

    fill(network, start, 4, MASK, generator(), order="confidence", temperature=0.0)
    assert seen == [4, 3, 2, 1]


@pytest.mark.parametrize("also_mask, left", [(0.1, 0), (0.6, 8)])
def test_the_mask_can_be_the_answer(also_mask, left):
    network, start = sure_of(0.3, 8, also_mask), torch.full((1, 8), MASK)
    assert refine(network, start, 4, block=8)[0][-1] == left, DIFFUSERS
    assert (fill(network, start, 4, MASK, generator(), order="confidence", temperature=0.0) != MASK).all()
