"""Adam and AdamW, one step at a time, for one tensor or for a batch of models stacked in it."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lib.course.shapes import checked


class AdamState(NamedTuple):
    """The two moving averages, of the parameters' shape, and the number of steps taken."""

    mean: Tensor
    square: Tensor
    step: int


def adam_state(parameters: Tensor) -> AdamState:
    """The state before the first step."""
    return AdamState(torch.zeros_like(parameters), torch.zeros_like(parameters), 0)


@checked
def adam_step(
    parameters: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    state: AdamState,
    *,
    lr: float | Float[Tensor, "..."],
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float | Float[Tensor, "..."] = 0.0,
    decoupled: bool = True,
) -> tuple[Float[Tensor, "*shape"], AdamState]:
    """The parameters and the state after one step, as torch's AdamW (decoupled) or Adam with L2 (not decoupled).

    `lr` and `weight_decay` may be tensors that broadcast against the parameters, so that one call steps a whole grid
    of models. The decay is torch's: AdamW multiplies by 1 - lr · weight_decay. Sources: Kingma & Ba, arXiv 1412.6980;
    Loshchilov & Hutter, arXiv 1711.05101.
    """
    rate, decay = (torch.as_tensor(value, dtype=parameters.dtype) for value in (lr, weight_decay))
    if not torch.all(rate > 0) or not torch.all(decay >= 0) or not eps >= 0:
        raise ValueError(f"expected lr > 0, weight_decay >= 0 and eps >= 0, got {lr}, {weight_decay} and {eps}")
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must lie in [0, 1), got {betas}")
    if decoupled:
        parameters = parameters * (1 - rate * decay)
    else:
        gradient = gradient + decay * parameters
    step = state.step + 1
    mean = betas[0] * state.mean + (1 - betas[0]) * gradient
    square = betas[1] * state.square + (1 - betas[1]) * gradient**2
    size = (square / (1 - betas[1] ** step)).sqrt() + eps
    return parameters - rate * mean / (1 - betas[0] ** step) / size, AdamState(mean, square, step)
