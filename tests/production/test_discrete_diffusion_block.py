"""What the chapter on SEDD and block diffusion says of scipy, diffusers and flow_matching."""

import diffusers
import flow_matching
import numpy as np
import scipy
import torch
from diffusers import DiscreteDDIMScheduler
from flow_matching.loss import MixturePathGeneralizedKL
from flow_matching.path import MixtureDiscreteProbPath
from flow_matching.path.scheduler import PolynomialConvexScheduler
from flow_matching.solver import MixtureDiscreteEulerSolver
from flow_matching.utils import ModelWrapper
from scipy.linalg import expm

from lib.generative.block_masks import block_diffusion_mask
from lib.generative.masking import mask_tokens, masked_diffusion_loss

PAGE = "book/discrete-diffusion/discrete-diffusion-block.ipynb, section In production"
SCIPY = f"scipy {scipy.__version__} (1.17.1 on the page): mend the row in {PAGE}"
DIFFUSERS = f"diffusers {diffusers.__version__} (0.42.1 on the page): mend the row in {PAGE}"
FLOW_MATCHING = f"flow_matching {flow_matching.__version__} (1.0.10 on the page): mend the row in {PAGE}"
PATH = MixtureDiscreteProbPath(PolynomialConvexScheduler(n=1.0))
MASK = 3


def generator(number=0):
    return torch.Generator().manual_seed(number)


def uniform_rates(states):
    return np.full((states, states), 1 / states) - np.eye(states)


def test_large_float32_exponentials_are_not_scaled():
    off = {}
    for states in (399, 400):
        for kind in (np.float32, np.float64):
            columns = expm((20 * uniform_rates(states)).astype(kind)).astype(np.float64).sum(0)
            off[states, kind] = np.nanmax(np.abs(columns - 1)) if np.isfinite(columns).any() else np.inf
    assert off[400, np.float32] > 0.02, (SCIPY, off)
    assert max(off[399, np.float32], off[399, np.float64], off[400, np.float64]) < 1e-3, (SCIPY, off)
    by_torch = torch.matrix_exp(torch.from_numpy((20 * uniform_rates(400)).astype(np.float32))).sum(0)
    assert (by_torch - 1).abs().max() < 1e-3


def filled(**arguments):
    scheduler = DiscreteDDIMScheduler(num_inference_steps=1)
    logits = torch.tensor([0.6, 0.4]).log().expand(1, 5000, 2)
    noise = torch.randint(2, (1, 5000), generator=generator())
    return scheduler.step(logits, 0, noise, generator=generator(1), **arguments).prev_sample.double().mean().item()


def test_the_discrete_ddim_scheduler_is_greedy_unless_told():
    assert filled() == 0, DIFFUSERS
    assert abs(filled(temperature=1.0) - 0.4) < 0.03, DIFFUSERS


def test_the_last_step_of_the_euler_solver_overwrites_letters():
    class Careless(ModelWrapper):
        def forward(self, x, t, **extras):
            return torch.tensor([0.0, 0.5, 0.5, 0.0]).expand(*x.shape, 4)

    solver = MixtureDiscreteEulerSolver(Careless(torch.nn.Identity()), PATH, vocabulary_size=4)
    start = torch.zeros(2000, 1, dtype=torch.int64)  # a letter, not the mask
    for step_size, steps in ((1.0 - 1e-6, 1), (0.25, 4)):
        end = solver.sample(start, step_size=step_size, time_grid=torch.tensor([0.0, 1.0]))
        assert (end != 0).all(), (FLOW_MATCHING, steps)


def test_the_generalized_kl_is_that_of_a_free_score():
    """With probability 1 - A left to the mask: -log of the letter's probability, plus A - 1, each divided by time."""
    clean = torch.randint(MASK, (6, 5), generator=generator())
    masked = mask_tokens(clean, 0.5, MASK, generator(1))
    logits = torch.randn(6, 5, MASK + 1, generator=generator(2))
    theirs = MixturePathGeneralizedKL(PATH, reduction="none")(logits, clean, masked, torch.full((6,), 0.75))
    a = logits.softmax(-1)
    total, own = a[..., :MASK].sum(-1), a.gather(-1, clean[..., None])[..., 0]
    free = (-(own / total).log() + total - 1 - total.log()) / 0.25
    hidden = masked == MASK
    torch.testing.assert_close(theirs[hidden], free[hidden], atol=1e-5, rtol=1e-5, msg=FLOW_MATCHING)
    ours = masked_diffusion_loss(logits, clean, masked, 0.25, MASK)
    assert (torch.where(hidden, theirs, 0.0).sum(1) - ours).abs().max() > 0.05, FLOW_MATCHING


def test_the_mask_is_that_of_the_authors():
    """As `block_diff_mask` of kuleshov-group/bd3lms, models/dit.py, writes it; not a library's behaviour."""
    for length, block in ((6, 2), (8, 8), (5, 1)):
        place = torch.arange(2 * length)
        clean, b = place >= length, place % length // block
        own = (b[:, None] == b) & (clean[:, None] == clean)
        offset = (b[:, None] > b) & clean & ~clean[:, None]
        causal = (b[:, None] >= b) & clean & clean[:, None]
        assert torch.equal(own | offset | causal, block_diffusion_mask(length, block))
