"""Directional derivatives, exact by forward-mode differentiation."""

from collections.abc import Callable

import torch
from torch import Tensor, func
from torch.func import vmap

from lib.course.ranges import require_at_least
from lib.course.shapes import Float, checked
from lib.course.tensors import kind


@checked
def directional_derivative(
    f: Callable, x: Float[Tensor, "n"], v: Float[Tensor, "n"]
) -> Float[Tensor, ""]:
    """The rate of change of a scalar function f at x along v; only the direction of v counts, not its length.

    `f` takes a tensor (n,) and returns a scalar tensor. A zero or non-finite v raises a `ValueError`.
    """
    if not (v.isfinite().all() and v.any()):
        raise ValueError(f"v must be finite and not zero, got {v.tolist()}")
    v = v.double() / v.abs().max()  # for at other scales squares overflow or vanish
    unit = v / torch.linalg.vector_norm(v)
    return jvp(f, (x.clone(),), (unit.to(x.dtype),))[1]


@checked
def direction_sweep(
    f: Callable, x: Float[Tensor, "2"], count: int
) -> tuple[Float[Tensor, "count"], Float[Tensor, "count"]]:
    """Angles 0, 2π/count, … in radians, and the directional derivative of f at x along each."""
    require_at_least("count", count, 1)
    angles = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    directions = torch.stack([angles.cos(), angles.sin()], dim=1).to(x.dtype)
    return angles.to(x.dtype), vmap(lambda v: jvp(f, (x.clone(),), (v,))[1])(directions)


def jvp(f, primals, tangents):
    """torch.func's jvp of a function that returns one real number in a tensor, and of no other."""

    def scalar(x):
        value = f(x)
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            raise ValueError(f"f must return a scalar tensor of real numbers, got {kind(value)}")
        return value

    return func.jvp(scalar, primals, tangents)
