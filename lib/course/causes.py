"""What in a call's arguments made it fail, where the error itself does not say so: looked for only after an error."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

LARGEST = 2**63 - 1  # of torch's whole numbers


def cause(error: Exception, function: Callable, args: tuple, kwargs: dict) -> Exception | None:
    """An error that names an argument which torch cannot work with here, or None: the call failed of something else.

    These are whole numbers beyond int64, numbers whose powers overflow, tensors on the meta device, which hold no values,
    tensors on several devices and, for a module's method, a precision that is not the weights'. An error of `lib`'s own,
    which says what must be, stays.
    """
    if isinstance(error, ValueError) and " must " in str(error):
        return None
    given: dict = inspect.signature(function).bind(*args, **kwargs).arguments
    for name, value in given.items():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, int) and not -LARGEST <= item <= LARGEST:
                return ValueError(f"{name} must be below 2^63 in size, got {item}")
    numbers = {name: abs(value) for name, value in given.items() if isinstance(value, (int, float))}
    if isinstance(error, OverflowError) and numbers:
        name = max(numbers, key=numbers.get)
        return ValueError(f"{name} must be smaller, or the result overflows, got {given[name]}")
    tensors = [(name, tensor) for name, value in given.items() if name != "self" for tensor in _tensors(value)]
    weights = [*given["self"].parameters()] if hasattr(given.get("self"), "parameters") else []
    for name, tensor in tensors:
        if tensor.is_meta:
            return ValueError(f"{name} must hold values, got a tensor on the meta device")
    for name, tensor in tensors[1:] if not weights else tensors:
        device = (weights or [tensors[0][1]])[0].device
        if tensor.device != device:
            return ValueError(f"{name} must lie on the device of the others, {device}, got {tensor.device}")
    precisions = {weight.dtype for weight in weights}
    for name, tensor in tensors:
        if precisions and tensor.is_floating_point() and tensor.dtype not in precisions:
            return TypeError(f"{name} must have the precision of the weights, {weights[0].dtype}, got {tensor.dtype}")
    return None


def _tensors(value: Any) -> Iterator[Any]:
    """The tensors in a value; known by what they can do, so that torch is not imported for it."""
    if hasattr(value, "is_meta"):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
