"""Directional derivatives, exact by forward-mode differentiation."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jvp, vmap

from lib.course.shapes import checked


@checked
def directional_derivative(
    f: Callable, x: Float[Tensor, "n"], v: Float[Tensor, "n"]
) -> Float[Tensor, ""]:
    """The rate of change of a scalar function f at x along v; only the direction of v counts, not its length.

    `f` takes a tensor (n,) and returns a scalar tensor. A zero or non-finite v raises a `ValueError`.
    """
    length = torch.linalg.vector_norm(v)
    if not (torch.isfinite(length) and length > 0):
        raise ValueError(f"v must be finite and not zero, got {v.tolist()}")
    return jvp(f, (x,), (v / length,))[1]


@checked
def direction_sweep(
    f: Callable, x: Float[Tensor, "2"], count: int
) -> tuple[Float[Tensor, "count"], Float[Tensor, "count"]]:
    """Angles 0, 2π/count, … in radians, and the directional derivative of f at x along each."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    angles = torch.arange(count, dtype=x.dtype) * (2 * torch.pi / count)
    directions = torch.stack([angles.cos(), angles.sin()], dim=1)
    return angles, vmap(lambda v: jvp(f, (x,), (v,))[1])(directions)
