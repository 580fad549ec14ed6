"""Values that examples are made of; the same at every call, and no global random state is drawn from."""

import torch
from torch import nn


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=generator(), dtype=torch.float64).to(dtype)


def normal64(*shape: int) -> torch.Tensor:
    return normal(*shape, dtype=torch.float64)


def law(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return normal64(*shape).softmax(-1).to(dtype)


def tokens(*shape: int, below: int = 5) -> torch.Tensor:
    return torch.randint(below, shape, generator=generator())


def module(make) -> nn.Module:
    """A module whose first weights are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return make()


def linear(inputs: int, outputs: int) -> nn.Module:
    return module(lambda: nn.Linear(inputs, outputs))
