"""Costs that are counted, not timed: calls, floating-point operations, memory kept for the backward pass."""

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

_ARITHMETIC = ("add", "sub", "rsub", "mul", "div", "neg")  # rsub: a number minus a tensor


def counted(function: Callable) -> Callable:
    """The same function with an attribute `calls`: how often it was called."""

    def wrapper(*args, **kwargs):
        wrapper.calls += 1
        return function(*args, **kwargs)

    wrapper.calls = 0
    return wrapper


def parameter_count(module: torch.nn.Module) -> int:
    """The number of a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def matmul_flops(function: Callable, *args) -> int:
    """Floating-point operations of the matrix products and convolutions in one call (a multiply-add counts two)."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function(*args)
    return counter.get_total_flops()


def elementwise_operations(function: Callable, *args) -> int:
    """Additions, subtractions, multiplications, divisions and negations of single numbers in one call."""
    with _ElementwiseCounter() as counter:
        function(*args)
    return counter.total


def saved_bytes(function: Callable, *args) -> int:
    """Bytes that autograd keeps for the backward pass of one call, each storage counted once."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = function(*args)  # kept alive, so that no address is used twice
    del output
    return sum(storages.values())


class _ElementwiseCounter(TorchDispatchMode):
    total = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if operation.__name__.split(".")[0].rstrip("_") in _ARITHMETIC:
            self.total += result.numel()
        return result
