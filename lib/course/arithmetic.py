"""How many additions, subtractions, multiplications, divisions and negations one operation of torch performs.

The table is closed: an operation that is neither in it nor known to do no arithmetic is refused, never counted as none.
"""

import torch

from lib.course.shapes import checked_after_errors


@checked_after_errors
def arithmetic(operation: torch._ops.OpOverload, args: tuple, kwargs: dict, result) -> int:
    """The count of one call; `result` is what it returned. An unknown operation raises a `ValueError` with its name."""
    name = operation.overloadpacket.__name__.rstrip("_")
    given = dict(zip((argument.name for argument in operation._schema.arguments), args, strict=False)) | kwargs
    if name not in _COUNTS:
        without_input = not any("Tensor" in str(argument.type) for argument in operation._schema.arguments)
        function = torch.Tag.pointwise in operation.tags and not name.endswith("_backward")
        if operation.is_view or name in _FREE or function or without_input:
            return 0
        raise ValueError(f"elementwise_operations has no count for {operation}")
    first = result[0] if isinstance(result, tuple) else result
    if first.dtype == torch.bool:
        return 0  # logic, which torch writes as products
    if first.is_complex():
        if name not in _COMPLEX_COUNTS or not all(isinstance(v, torch.Tensor) and v.is_complex() for v in given.values()):
            raise ValueError(f"elementwise_operations has no count for complex numbers in {operation}")
        return _COMPLEX_COUNTS[name] * first.numel()
    factors = sum(given.get(factor, 1) != 1 for factor in ("alpha", "beta", "value"))
    return _COUNTS[name](given, first.numel()) + factors * first.numel()


def _each(operations):
    return lambda given, entries: operations * entries


def _size(given):
    return given["self"].numel()


def _rows(given):
    """How many vectors lie along `dim`."""
    values = given.get("self", given.get("output"))
    return values.numel() // max(values.shape[given["dim"]] if values.ndim else 1, 1)


def _power(exponent):
    """For one number; powers that are not whole are functions like exp."""
    if isinstance(exponent, torch.Tensor) or not float(exponent).is_integer():
        return 0
    return max(abs(int(exponent)) - 1, 0) + (exponent < 0)


def _norm(given, entries):
    """Σ |x|^p: the powers and their sum; the largest and the smallest entry are comparisons."""
    order = given.get("ord", 2)
    return 0 if order in (torch.inf, -torch.inf) else _size(given) * (1 + _power(order)) - entries


def _mean_squared_error(given, entries):
    reduction = given.get("reduction", 1)
    return 2 * _size(given) + (reduction > 0) * _size(given) - (reduction == 2)


def _put(given, entries):
    """Writing into places is no arithmetic, adding to them is."""
    places = tuple(slice(None) if index is None else index for index in given["indices"])
    return given["self"][places].numel() if given.get("accumulate") else 0


# From the arguments by name and the number of entries in the result.
_COUNTS = {
    **dict.fromkeys(["add", "sub", "rsub", "mul", "div", "floor_divide", "remainder", "fmod", "neg"], _each(1)),
    **dict.fromkeys(["reciprocal", "rsqrt", "addmm", "addmv", "addbmm", "baddbmm"], _each(1)),
    **dict.fromkeys(["addcmul", "addcdiv", "addr"], _each(2)),
    **dict.fromkeys(["lerp", "hypot", "sigmoid_backward", "tanh_backward"], _each(3)),
    "pow": lambda given, entries: _power(given["exponent"]) * entries,
    "sum": lambda given, entries: max(_size(given) - entries, 0),
    "trace": lambda given, entries: max(min(given["self"].shape) - 1, 0),
    "mean": lambda given, entries: _size(given),
    "var": lambda given, entries: 4 * _size(given),
    "cumsum": lambda given, entries: _size(given) - _rows(given),
    "linalg_vector_norm": _norm,
    "mse_loss": _mean_squared_error,
    "logsumexp": lambda given, entries: 2 * _size(given),
    "_softmax": lambda given, entries: 3 * _size(given) - _rows(given),
    "_softmax_backward_data": lambda given, entries: 4 * entries - _rows(given),
    "_log_softmax_backward_data": lambda given, entries: 3 * entries - _rows(given),
    "convolution": lambda given, entries: entries if given["bias"] is not None else 0,
    "index_put": _put,
    "index_add": lambda given, entries: given["source"].numel(),
    "scatter_add": lambda given, entries: given["index"].numel(),
    "threshold_backward": _each(0),
}
_COUNTS |= {
    "prod": _COUNTS["sum"], "nansum": _COUNTS["sum"], "cumprod": _COUNTS["cumsum"], "std": _COUNTS["var"],
    "var_mean": _COUNTS["var"], "std_mean": _COUNTS["var"], "_log_softmax": _COUNTS["_softmax"],
}  # fmt: skip

# For one entry, where all arguments are complex.
_COMPLEX_COUNTS = {"mul": 6, "add": 2, "sub": 2, "neg": 2}

# Copies, orders, choices and matrix products.
_FREE = frozenset(
    """
    _to_copy _unsafe_view all amax amin aminmax any argmax argmin argsort bernoulli bucketize cat clone complex
    constant_pad_nd copy count_nonzero cummax cummin detach embedding empty_like equal fill flip full_like gather index
    index_fill index_select is_same_size isin kthvalue lift_fresh masked_fill masked_scatter masked_select max median
    min mode multinomial new_empty new_full new_ones new_zeros nonzero ones_like rand_like randint_like randn_like
    repeat roll scatter searchsorted select_backward slice_backward sort squeeze stack take topk tril triu unique
    unique_dim zero zeros_like normal uniform exponential _local_scalar_dense _efficientzerotensor
    _has_same_storage_numel _linalg_check_errors
    bmm dot mm mv vdot
    """.split()
)
