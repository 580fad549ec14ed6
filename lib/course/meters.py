"""Costs that are counted, not timed: calls, floating-point operations, memory kept for the backward pass."""

from collections import Counter
from collections.abc import Callable, Iterable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lib.course.arithmetic import arithmetic
from lib.course.shapes import checked_after_errors

# Where torch's registry of products has nothing: which argument holds the matrix, or one of the vectors.
_VECTOR_PRODUCTS = {"dot": 0, "vdot": 0, "mv": 0, "addmv": 1}


@checked_after_errors
def counted(function: Callable) -> Callable:
    """The same function with an attribute `calls`: how often it was called."""

    def wrapper(*args, **kwargs):
        wrapper.calls += 1
        return function(*args, **kwargs)

    wrapper.calls = 0
    return wrapper


@checked_after_errors
def parameter_count(module: torch.nn.Module) -> int:
    """The number of a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@checked_after_errors
def matmul_flops(function: Callable, *args) -> int:
    """Floating-point operations of the matrix products and convolutions in one call (a multiply-add counts two).

    Products of a matrix with a vector and of two vectors are among them; a product with the zeros that forward mode puts
    where there is no tangent is not.
    """
    return _count(_products, function, args)


@checked_after_errors
def elementwise_operations(function: Callable, *args) -> int:
    """Additions, subtractions, multiplications, divisions and negations of single numbers in one call.

    A sum of n numbers is n - 1 additions; a whole power k is |k| - 1 products, and a division if k < 0; means,
    variances, norms and softmax count what their formulas say, and a bias one addition for each output. Comparisons,
    copies, roots and functions like exp or sigmoid count nothing; matrix products belong to `matmul_flops`. A product of
    complex numbers counts six, their sum two. An operation that `lib.course.arithmetic` does not know, or not for
    complex numbers, raises a `ValueError`.
    """
    return _count(arithmetic, function, args)


@checked_after_errors
def saved_bytes(function: Callable, *args) -> int:
    """Bytes that autograd keeps for the backward pass of one call, each storage counted once."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage  # kept alive, so that no address is used twice
        return tensor.detach()  # an operation's own output would keep its graph, which keeps it, for ever

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function(*args)
    return sum(storage.nbytes() for storage in storages.values())


@checked_after_errors
def saved_bytes_over_time(function: Callable, *args, besides: Iterable[torch.Tensor] = ()) -> list[int]:
    """Bytes that autograd keeps for backward passes while one call runs: 0, then the number after each change.

    The call may go back as well. A storage counts once, from the first operation that saves it until the last one lets it
    go; those of `besides`, a module's parameters say, do not count. Whatever the call returns is held to the end, so the
    last number is what its graph keeps, and the largest is the peak. Gradients, and tensors that no operation saves, are
    not in it.
    """
    left_out = {storage._cdata: storage for storage in (tensor.untyped_storage() for tensor in besides)}
    holders, timeline = Counter(), [0]

    def change(storage, by):
        holders[storage._cdata] += by
        if holders[storage._cdata] == (by > 0):  # the first came, or the last went
            timeline.append(timeline[-1] + by * storage.nbytes())

    class Kept:
        """What an operation holds in place of the tensor that it saves."""

        def __init__(self, tensor):
            self.tensor = tensor.detach()  # as above
            change(tensor.untyped_storage(), +1)

        def __del__(self):
            change(self.tensor.untyped_storage(), -1)

    def pack(tensor):
        return tensor.detach() if tensor.untyped_storage()._cdata in left_out else Kept(tensor)

    def unpack(kept):
        return kept.tensor if isinstance(kept, Kept) else kept

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        result = function(*args)
    until_here = timeline.copy()
    del result  # its graph goes only now
    return until_here


def _count(count, function, args):
    """The total of `count` over torch's operations in one call; fused layers are taken apart first."""
    fast_layers, onednn = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.mkldnn.enabled = False
    try:
        with sdpa_kernel(SDPBackend.MATH), _Counter(count) as counter:
            function(*args)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_layers)
        torch.backends.mkldnn.enabled = onednn
    return counter.total


class _Counter(TorchDispatchMode):
    """Adds up `count(operation, args, kwargs, result)` over torch's operations."""

    def __init__(self, count):
        super().__init__()
        self.count, self.total, self.forward_mode = count, 0, False

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # nothing is compiled here, and torch's compiler takes a second to import

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with self:  # inference mode hands over whole what consists of several operations
            result = operation.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        result = operation(*args, **kwargs)
        if operation.namespace != "aten":  # forward mode works out shapes with operations of another kind
            return result
        self.forward_mode |= operation is torch.ops.aten._efficientzerotensor.default
        if self.forward_mode and any(map(_is_missing_tangent, args)):
            return result.new_zeros(()).expand(result.shape) if _products(operation, args, kwargs, result) else result
        self.total += self.count(operation, args, kwargs, result)
        return result


def _is_missing_tangent(value):
    """Whether it is one zero spread over a shape."""
    return isinstance(value, torch.Tensor) and value.ndim > 0 and not any(value.stride()) and not value.any()


def _products(operation, args, kwargs, result):
    name = operation.overloadpacket.__name__.rstrip("_")
    if name in _VECTOR_PRODUCTS:
        return 2 * args[_VECTOR_PRODUCTS[name]].numel()
    formula = flop_registry.get(getattr(torch.ops.aten, name, None))
    return formula(*args, **kwargs, out_val=result) if formula else 0
