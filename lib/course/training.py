"""Seeds, generators and the one training loop."""

import copy
import math
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from tqdm import tqdm

from lib.course.ranges import require_at_least
from lib.course.shapes import checked

MOST_THREADS = 1024


def seed(number: int) -> np.random.Generator:
    """Seed everything from a chapter's number and the environment's COURSE_SEED, and return the generator to pass on.

    torch, numpy and random are seeded too, and torch runs on one thread unless OMP_NUM_THREADS says otherwise: the first
    number of a list counts. An empty variable is one that is not set; anything else than a number raises a `ValueError`.
    """
    course_seed = _from_environment("COURSE_SEED", 0, least=0)
    threads = _from_environment("OMP_NUM_THREADS", 1, least=1, most=MOST_THREADS)
    if number < 0:
        raise ValueError(f"number must be at least 0, got {number}")
    for_torch, for_numpy, for_random, for_chapter = np.random.SeedSequence([number, course_seed]).spawn(4)
    torch.manual_seed(int(for_torch.generate_state(1)[0]))
    np.random.seed(for_numpy.generate_state(1))
    random.seed(int(for_random.generate_state(1)[0]))
    torch.set_num_threads(threads)
    return np.random.default_rng(for_chapter)


@checked
def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator (CPU) that is seeded with the next draw of a numpy generator."""
    return torch.Generator().manual_seed(int(rng.integers(2**63)))


@contextmanager
def rewound_after_error(generator: torch.Generator) -> Iterator[None]:
    """Put a generator back to where it was, if what is done inside raises an error."""
    before = generator.get_state()
    try:
        yield
    except Exception:
        generator.set_state(before)
        raise


@checked
def fit(optimizer: torch.optim.Optimizer, loss: Callable[[], torch.Tensor], steps: int) -> np.ndarray:
    """Minimise a loss: `steps` times, evaluate it, backpropagate and step. Returns the losses, shape (steps,).

    `loss` draws its own batch. A loss, or in the end a parameter, that is not finite raises a `FloatingPointError`.
    After an error, parameters, gradients and optimiser are what they were before the call.
    """
    require_at_least("steps", steps, 0)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    before = [(parameter.detach().clone(), parameter.grad) for parameter in parameters]
    state = copy.deepcopy(optimizer.state_dict())
    try:
        return _descend(optimizer, loss, steps, parameters)
    except Exception:
        for parameter, (value, gradient) in zip(parameters, before, strict=True):
            parameter.data.copy_(value)
            parameter.grad = gradient
        optimizer.load_state_dict(state)
        raise


def _descend(optimizer, loss, steps, parameters):
    losses = np.empty(steps)
    for step in tqdm(range(steps), leave=False):
        optimizer.zero_grad()
        value = loss()
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise ValueError(f"loss must return a tensor with one number, got {getattr(value, 'shape', value)}")
        losses[step] = value.item()
        if not math.isfinite(losses[step]):
            raise FloatingPointError(f"the loss is {losses[step]} at step {step}: try a lower learning rate")
        if not value.requires_grad:
            raise ValueError("loss must depend on the parameters, got one that has no gradient")
        value.backward()
        optimizer.step()
    if not all(parameter.isfinite().all() for parameter in parameters):
        raise FloatingPointError(f"a parameter is not finite after step {steps - 1}: try a lower learning rate")
    return losses


def _from_environment(name, unset, *, least, most=math.inf):
    """The variable's whole number, or the first of a list of them; `unset` where the variable is empty or missing."""
    text = os.environ.get(name, "").strip()
    first = text.split(",")[0].strip()
    if not text:
        return unset
    if not first.isdecimal() or not least <= int(first) <= most:
        expected = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"the environment variable {name} must be a whole number {expected}, or unset, got {text!r}")
    return int(first)
