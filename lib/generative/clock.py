"""The one clock of diffusion and flows: t = 0 is data, t = 1 is noise; one t for all, or one for each row."""

import torch
from torch import Tensor

from lib.course.shapes import Float, Float64, Real, checked_after_errors
from lib.course.tensors import per_row, working_dtype

Time = float | Float[Tensor, "*rows"]
Times = Float64[Tensor, "..."]


@checked_after_errors
def in_clock(t: Time) -> Tensor:
    """t in float64; outside [0, 1] it is refused."""
    times = torch.as_tensor(t, dtype=torch.float64)
    inside = 0 <= t <= 1 if isinstance(t, float) else torch.equal(times, times.clamp(0, 1))  # NaN equals nothing
    if not inside:
        raise ValueError(f"t must lie in [0, 1] (t = 0 is data), got {shown(times)}")
    return times


@checked_after_errors
def shown(values: Real[Tensor, "..."]) -> str:
    """A number, or the range of several, for an error's text."""
    if not values.numel():
        return "none"
    return f"{values.item():g}" if values.ndim == 0 else f"{values.min().item():g} to {values.max().item():g}"


@checked_after_errors
def combine(
    a: Tensor, x: Float[Tensor, "batch *shape"], b: Tensor, y: Float[Tensor, "batch *shape"]
) -> Float[Tensor, "batch *shape"]:
    """a x + b y in the dtype of x, at least float32 in between; a and b are numbers, or one for each row."""
    wide = working_dtype(x.dtype)
    a, b = per_row("t", a, x).to(wide), per_row("t", b, x).to(wide)
    return torch.addcmul(a * x.to(wide), b, y).to(x.dtype)
