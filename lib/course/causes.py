"""What in a call's arguments made it fail, where the error itself does not say so: looked for only after an error."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

LARGEST = 2**63 - 1  # of torch's whole numbers
_OF_SIZES = re.compile("size|shape|dimension|tuple index out of range")
_OF_TYPES = re.compile("dtype|type|Float|Double|Half")


def cause(error: Exception, function: Callable, args: tuple, kwargs: dict) -> Exception | None:
    """An error that names an argument which torch cannot work with here, or None: the call failed of something else.

    These are whole numbers beyond int64, the largest number where one overflowed, tensors on the meta device, which hold
    no values, tensors on several devices and, where torch speaks of types, one whose precision is not that of the others
    or, for a module's method, of the weights; where it speaks of sizes, all tensors are named.
    """
    try:
        given = inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError:  # too many or too few, which the error says
        return None
    for name, value in given.items():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, int) and not -LARGEST <= item <= LARGEST:
                return ValueError(f"{name} must be below 2^63 in size, got {item}")
    numbers = {name: abs(value) for name, value in given.items() if isinstance(value, (int, float))}
    if isinstance(error, OverflowError) and numbers:
        name = max(numbers, key=numbers.get)
        return ValueError(f"{name} must be smaller, or the result overflows, got {given[name]}")
    tensors = [(name, tensor) for name, value in given.items() if name != "self" for tensor in _tensors(value)]
    for name, tensor in tensors:
        if tensor.is_meta:
            return ValueError(f"{name} must hold values, got a tensor on the meta device")
    weights = [*given["self"].parameters()] if hasattr(given.get("self"), "parameters") else []
    others, of = (weights, "the weights") if weights else ([tensor for _, tensor in tensors], "the others")
    precisions = [other.dtype for other in others if other.is_floating_point()]
    for name, tensor in tensors:
        if tensor.device != others[0].device:
            return ValueError(f"{name} must lie on the device of {of}, {others[0].device}, got {tensor.device}")
        if precisions and tensor.is_floating_point() and tensor.dtype != precisions[0] and _OF_TYPES.search(str(error)):
            return TypeError(f"{name} must have the precision of {of}, {precisions[0]}, got {tensor.dtype}")
    if "allocate" in str(error) or "Storage size" in str(error):  # there is no memory
        return None
    if tensors and isinstance(error, (RuntimeError, IndexError)) and _OF_SIZES.search(str(error)):
        if not any(callable(value) for name, value in given.items() if name != "self"):  # whose error it may be
            shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors)
            return ValueError(f"{' and '.join(dict(tensors))} must be of sizes that fit, got {shapes}")
    return None


def _tensors(value: Any) -> Iterator[Any]:
    """The tensors in a value; known by what they can do, so that torch is not imported for it."""
    if hasattr(value, "is_meta"):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
