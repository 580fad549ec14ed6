"""Tensors that come from outside: finite or refused, of the right shape, and computed with in enough precision."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lib.course.shapes import checked_after_errors


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32 for half precision, any other real dtype as it is: compute in this and round once, at the end."""
    return torch.promote_types(dtype, torch.float32)


@checked_after_errors
def all_finite(values: Tensor) -> bool:
    """Whether no entry is NaN or infinite: seen from the smallest and the largest, which are NaN if an entry is."""
    values = torch.view_as_real(values) if values.is_complex() else values
    if values.ndim == 0:
        return math.isfinite(values.item())
    return not values.numel() or all(map(math.isfinite, torch.aminmax(values.detach())))


@checked_after_errors
def require_finite_result(result: Tensor, **arguments: Tensor) -> Tensor:
    """The result, or a `ValueError` that names the argument which was not finite, or all of them if it overflowed."""
    if not all_finite(result):
        for name, values in arguments.items():
            require_finite_entries(name, values)
        raise ValueError(f"{' and '.join(arguments)} must be smaller: the result overflows {result.dtype}")
    return result


@checked_after_errors
def require_finite_entries(name: str, values: Tensor) -> None:
    """Refuse a tensor that holds NaN or infinite entries."""
    if not all_finite(values):
        raise ValueError(f"{name} must be finite, got NaN or infinite entries")


@checked_after_errors
def require_tokens(tokens: Tensor, count: int, name: str = "tokens") -> None:
    """Refuse integers that are none at all, or not all in 0 … count - 1."""
    if tokens.is_complex():
        raise TypeError(f"{name} must be integers, got {tokens.dtype}")
    if not tokens.numel() or tokens.min() < 0 or tokens.max() >= count:
        raise ValueError(f"{name} must be at least one, each in 0 … {count - 1}, got {tokens}")


@checked_after_errors
def require_law(name: str, rows: Tensor) -> None:
    """Refuse what are no probabilities: rows that are empty, not finite, negative, or whose sum is not one.

    A sum may be off by 1e-6 or, where that is more, by what rounding explains: the machine epsilon of the dtype, and for
    n entries √n times that of the dtype which sums are formed in.
    """
    if not rows.is_floating_point():
        raise TypeError(f"{name} must be floating-point numbers, got {rows.dtype}")
    require_finite_entries(name, rows)
    if not rows.numel() or rows.min() < 0:
        found = f"a smallest entry of {rows.min():g}" if rows.numel() else f"shape {kind(rows)}"
        raise ValueError(f"{name} must not be negative and sum to one, got {found}")
    sums = rows.sum(-1, dtype=torch.float64)
    rounding = torch.finfo(working_dtype(rows.dtype)).eps * math.sqrt(rows.shape[-1])
    if (sums - 1).abs().max() > max(1e-6, torch.finfo(rows.dtype).eps, rounding):
        raise ValueError(f"{name} must not be negative and sum to one, got sums from {sums.min():g} to {sums.max():g}")


@checked_after_errors
def predict(network: Callable, x: Tensor, time: Tensor | float, name: str = "network") -> Tensor:
    """What the network makes of a copy of x, which it may overwrite; another shape than that of x is refused."""
    predicted = network(x.clone(), time)
    if not isinstance(predicted, Tensor) or predicted.shape != x.shape:
        raise ValueError(f"{name} must return the shape of x, {tuple(x.shape)}, got {kind(predicted)}")
    return predicted


@checked_after_errors
def require_width(name: str, x: Tensor, width: int) -> None:
    """Refuse a tensor (…, width) whose last axis is of another size."""
    if not x.ndim or x.shape[-1] != width:
        raise ValueError(f"{name} must be of width {width}, got shape {kind(x)}")


def kind(value) -> str:
    """The shape of a tensor, or the type of anything else, for an error's text."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


@checked_after_errors
def per_row(name: str, values: Tensor, x: Tensor) -> Tensor:
    """One number for all of x (batch, …), or one for each row, shaped to multiply x; other shapes are refused."""
    if values.ndim == 0:
        return values
    if not x.ndim or values.shape != x.shape[:1]:
        raise ValueError(f"{name} must be one number, or one for each row of x, {x.shape[:1].numel()}, got shape {kind(values)}")
    return values.reshape(-1, *[1] * (x.ndim - 1))
