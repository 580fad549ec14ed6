"""Tensors that come from outside: finite or refused, of the right shape, and computed with in enough precision."""

from collections.abc import Callable

import torch
from torch import Tensor


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32 for half precision, any other real dtype as it is: compute in this and round once, at the end."""
    return torch.promote_types(dtype, torch.float32)


def require_finite_result(result: Tensor, **arguments: Tensor) -> Tensor:
    """The result, or a `ValueError` that names the argument which was not finite, or all of them if it overflowed."""
    if not result.isfinite().all():
        for name, values in arguments.items():
            require_finite_entries(name, values)
        raise ValueError(f"{' and '.join(arguments)} must be smaller: the result overflows {result.dtype}")
    return result


def require_finite_entries(name: str, values: Tensor) -> None:
    """Refuse a tensor that holds NaN or infinite entries."""
    if not values.detach().isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinite entries")


def predict(network: Callable[[Tensor, Tensor], Tensor], x: Tensor, time: Tensor) -> Tensor:
    """What the network makes of a copy of x, which it may overwrite; another shape than that of x is refused."""
    predicted = network(x.clone(), time)
    if not isinstance(predicted, Tensor) or predicted.shape != x.shape:
        came = tuple(predicted.shape) if isinstance(predicted, Tensor) else type(predicted).__name__
        raise ValueError(f"network must return the shape of x, {tuple(x.shape)}, got {came}")
    return predicted
