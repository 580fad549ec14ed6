"""Adam and AdamW, one step at a time, for one tensor or for a batch of models stacked in it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lib.course.ranges import require_at_least, require_in, require_not_negative, require_positive, require_whole
from lib.course.shapes import Float, checked
from lib.course.tensors import kind


class AdamState(NamedTuple):
    """The two moving averages, of the parameters' shape and at least in float32, and the number of steps taken.

    The second is assumed not to be negative, as `adam_step` leaves it.
    """

    mean: Tensor
    square: Tensor
    step: int


@checked
def adam_state(parameters: Float[Tensor, "..."]) -> AdamState:
    """The state before the first step."""
    zeros = torch.zeros_like(parameters, dtype=torch.promote_types(parameters.dtype, torch.float32))
    return AdamState(zeros, zeros, 0)


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
    of models. The decay is torch's: AdamW multiplies by 1 - lr · weight_decay. Parameters in half precision are stepped
    in float32 and rounded, which torch does not do. Raises `ValueError` for settings out of range and for the state of
    another shape. Sources: Kingma & Ba, arXiv 1412.6980; Loshchilov & Hutter, arXiv 1711.05101.
    """
    for value in _extremes(lr):
        require_positive("lr", value)
    for value in _extremes(weight_decay):
        require_not_negative("weight_decay", value)
    require_not_negative("eps", eps)
    for i, beta in enumerate(betas):
        require_in(f"betas[{i}]", beta, 0, 1, "[)")
    wide, given = torch.promote_types(parameters.dtype, torch.float32), parameters.dtype
    for name, kept in (("mean", state.mean), ("square", state.square)):
        if not isinstance(kept, Tensor) or (kept.shape, kept.dtype) != (parameters.shape, wide):
            came = f"{kind(kept)} of {kept.dtype}" if isinstance(kept, Tensor) else kind(kept)
            raise ValueError(f"state.{name} must be {kind(parameters)} of {wide}, got {came}")
    require_whole("state.step", state.step, 0)
    parameters, gradient = parameters.to(wide), gradient.to(wide)
    rate, decay = (value.to(wide) if isinstance(value, Tensor) else float(value) for value in (lr, weight_decay))
    if decoupled:
        parameters = parameters * (1 - rate * decay)
    else:
        parameters, gradient = parameters.clone(), gradient + decay * parameters
    step = state.step + 1
    mean = torch.lerp(state.mean, gradient, 1 - betas[0])
    square = (betas[1] * state.square).addcmul_(gradient, gradient, value=1 - betas[1])
    size = square.sqrt().div_((1 - betas[1] ** step) ** 0.5).add_(eps)
    rate = rate / (1 - betas[0] ** step)
    if isinstance(rate, Tensor):
        parameters -= rate * (mean / size)
    else:
        require_in("lr / (1 - betas[0]**step)", rate, 0, torch.finfo(wide).max)
        parameters.addcdiv_(mean, size, value=-rate)
    return parameters.to(given), AdamState(mean, square, step)


@checked
def adam_path(
    gradient: Callable,
    start: Float[Tensor, "*shape"],
    steps: int,
    *,
    lr: float | Sequence[float] | Float[np.ndarray, "..."],
    **options,
) -> Float[Tensor, "points *shape"]:
    """All points of `steps` steps of `adam_step`, the start first.

    `gradient(w)` returns the gradient at w, of the shape of w; `lr` is one rate, or one for each step; `options` go to
    `adam_step`. A path that overflows until it holds a NaN raises a `ValueError`.
    """
    require_at_least("steps", steps, 1)
    if np.shape(lr) not in ((), (steps,)):
        raise ValueError(f"lr must be one rate or one for each of the {steps} steps, got shape {np.shape(lr)}")
    path, state = [start.clone()], adam_state(start)
    for rate in np.broadcast_to(lr, steps).tolist():
        point, state = adam_step(path[-1], gradient(path[-1].clone()), state, lr=rate, **options)
        path.append(point)
    points = torch.stack(path)
    if points.isnan().any():
        raise ValueError(f"lr must be smaller, or gradient return numbers: the path of {steps} steps holds NaN")
    return points


def _extremes(value: float | Tensor) -> list[float]:
    """The smallest and the largest entry, or the number itself."""
    return [value.min().item(), value.max().item()] if isinstance(value, Tensor) else [value]
