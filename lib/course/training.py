"""Seeds, generators and the one training loop."""

import os
import random
from collections.abc import Callable

import numpy as np
import torch
from tqdm import tqdm


def seed(number: int) -> np.random.Generator:
    """Seed everything from a chapter's number and the environment's COURSE_SEED, and return the generator to pass on.

    torch, numpy and random are seeded too, and torch runs on one thread unless OMP_NUM_THREADS says otherwise.
    """
    sequence = np.random.SeedSequence([number, int(os.environ.get("COURSE_SEED", "0"))])
    for_torch, for_numpy, for_random, for_chapter = sequence.spawn(4)
    torch.manual_seed(int(for_torch.generate_state(1)[0]))
    np.random.seed(for_numpy.generate_state(1))
    random.seed(int(for_random.generate_state(1)[0]))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return np.random.default_rng(for_chapter)


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator (CPU) that is seeded with the next draw of a numpy generator."""
    return torch.Generator().manual_seed(int(rng.integers(2**63)))


def fit(optimizer: torch.optim.Optimizer, loss: Callable[[], torch.Tensor], steps: int) -> np.ndarray:
    """Minimise a loss: `steps` times, evaluate it, backpropagate and step. Returns the losses, shape (steps,).

    `loss` draws its own batch. A loss that is not finite raises a `FloatingPointError` with its step.
    """
    losses = np.empty(steps)
    for step in tqdm(range(steps), leave=False):
        optimizer.zero_grad()
        value = loss()
        if not torch.isfinite(value):
            raise FloatingPointError(f"the loss is {value.item()} at step {step}: try a lower learning rate")
        value.backward()
        optimizer.step()
        losses[step] = value.item()
    return losses
