"""Ways to spoil one argument of a call, each with its name; some change only the form, and the answer must stay."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

HUGE = 2**31, 2**63, 10**30
NOT_NUMBERS = None, "word", 1j


class Spoiler(NamedTuple):
    name: str
    spoil: Callable
    same: bool = False  # the same argument in another form: the answer must be the same


class Marker(Exception):
    """What a function that is handed in raises: it must come out as it is."""


def spoilers(value) -> list[Spoiler]:
    """Everything that is tried in the place of this argument."""
    if isinstance(value, torch.Tensor):
        return list(_of_tensor(value))
    if isinstance(value, np.ndarray):
        return [Spoiler(s.name, _on_array(s.spoil), s.same) for s in _of_tensor(torch.from_numpy(value)) if s.name not in TORCH_ONLY]
    if isinstance(value, (bool, np.bool_)):
        return _constants(not value, None, "word", 2, 0.5)
    if isinstance(value, int):
        changes = [Spoiler("numpy's integer", np.int64, True), Spoiler("a tensor", torch.tensor)]
        return changes + _constants(-1, 0, 1, 2, 3, 7, -(2**63), *HUGE, 2.0, 2.5, math.nan, math.inf, True, *NOT_NUMBERS)
    if isinstance(value, float):
        changes = [Spoiler("numpy's float", np.float64, True), Spoiler("a tensor", torch.tensor)]
        if value.is_integer():
            changes.append(Spoiler("an integer", int, True))
        numbers = 0.0, -0.0, -1.0, 0.5, 1.0, 2.0, 1e-300, 1e-30, 1e30, 1e300, 0, 1, 3, 10**400
        return changes + _constants(*numbers, math.nan, math.inf, -math.inf, True, *NOT_NUMBERS)
    if isinstance(value, str):
        return _constants("other words", "", None, 3)
    if isinstance(value, (torch.Generator, np.random.Generator)):
        other = np.random.default_rng(1) if isinstance(value, torch.Generator) else torch.Generator()
        return _constants(None, 3, "word", other)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(_of_record(value))
    if isinstance(value, (list, tuple)):
        return list(_of_sequence(value))
    if isinstance(value, Mapping):
        return _constants(None, 3, "word")
    if isinstance(value, nn.Module) or callable(value):
        return list(_of_function(value))
    return _constants(None, 3, "word")


def _constants(*values) -> list[Spoiler]:
    return [Spoiler(f"{value!r:.40}", lambda _, value=value: value) for value in values]


TORCH_ONLY = "wants a gradient", "on the meta device", "bfloat16"


def _of_tensor(t: torch.Tensor) -> Iterator[Spoiler]:
    yield Spoiler("an axis more in front", lambda t: t[None])
    yield Spoiler("an axis more at the end", lambda t: t[..., None])
    if t.ndim:
        yield Spoiler("an axis less", lambda t: t[0].clone() if len(t) else t.new_zeros(t.shape[1:]))
        yield Spoiler("a scalar", lambda t: t.new_ones(()))
    for axis in range(t.ndim):
        yield Spoiler(f"axis {axis} longer", lambda t, axis=axis: torch.cat([t, t.narrow(axis, 0, min(1, t.shape[axis]))], axis))
        if t.shape[axis]:
            yield Spoiler(f"axis {axis} shorter", lambda t, axis=axis: t.narrow(axis, 0, t.shape[axis] - 1).clone())
            yield Spoiler(f"axis {axis} empty", lambda t, axis=axis: t.narrow(axis, 0, 0).clone())
            yield Spoiler(f"axis {axis} of one", lambda t, axis=axis: t.narrow(axis, 0, 1).clone())
    if t.ndim > 1:
        yield Spoiler("not contiguous", lambda t: t.mT.contiguous().mT, True)
        yield Spoiler("transposed", lambda t: t.mT.clone())
        if t.numel():
            yield Spoiler("one row expanded", lambda t: t[:1].expand(t.shape))
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.int64, torch.int32, torch.uint8, torch.bool):
        if dtype != t.dtype:
            yield Spoiler(str(dtype)[6:], lambda t, dtype=dtype: t.to(dtype))
    yield Spoiler("on the meta device", lambda t: t.to("meta"))
    if t.is_floating_point():
        yield Spoiler("wants a gradient", lambda t: t.detach().clone().requires_grad_(), True)
        tiny, huge = torch.finfo(t.dtype).tiny, torch.finfo(t.dtype).max / 2
        for name, number in (("NaN", math.nan), ("∞", math.inf), ("-∞", -math.inf), ("huge", huge), ("tiny", tiny), ("-1", -1.0), ("0", 0.0), ("1e6", min(1e6, huge))):
            yield Spoiler(f"an entry {name}", lambda t, number=number: _with_entry(t, number))
            yield Spoiler(f"all {name}", lambda t, number=number: torch.full_like(t, number))
        yield Spoiler("negative", lambda t: -t.abs())
        yield Spoiler("times 1000", lambda t: t * 1000)
    elif t.dtype != torch.bool:
        most = torch.iinfo(t.dtype).max
        for number in (-1, 0, 1, 2, 1000, most, -most - 1):
            yield Spoiler(f"an entry {number}", lambda t, number=number: _with_entry(t, number))
            yield Spoiler(f"all {number}", lambda t, number=number: torch.full_like(t, number))
    else:
        yield Spoiler("all False", torch.zeros_like)
        yield Spoiler("all True", torch.ones_like)
        yield Spoiler("inverted", torch.logical_not)
    yield Spoiler("of the other library", lambda t: t.detach().numpy())
    yield Spoiler("a list", lambda t: t.tolist())
    yield from _constants(None, "word", 3, 0.5)


def _with_entry(t: torch.Tensor, number) -> torch.Tensor:
    t = t.clone()
    if t.numel():
        t.view(-1)[-1] = number
    return t


def _on_array(spoil: Callable) -> Callable:
    def on_array(array):
        spoiled = spoil(torch.from_numpy(array.copy()))
        if isinstance(spoiled, np.ndarray):  # numpy's own is the other library's here
            return torch.from_numpy(spoiled)
        return spoiled.numpy() if isinstance(spoiled, torch.Tensor) else spoiled

    return on_array


def _of_record(record: tuple) -> Iterator[Spoiler]:
    yield Spoiler("a plain tuple", tuple)
    yield from _constants(None, 3)
    for field, value in record._asdict().items():
        for inner in spoilers(value):
            yield Spoiler(
                f"{field}: {inner.name}",
                lambda r, field=field, inner=inner: r._replace(**{field: inner.spoil(getattr(r, field))}),
                inner.same,
            )


def _of_sequence(items) -> Iterator[Spoiler]:
    kind = type(items)
    yield Spoiler("empty", lambda items: kind())
    yield Spoiler("one item", lambda items: items[:1])
    yield Spoiler("an item more", lambda items: items + items[:1])
    yield Spoiler("reversed", lambda items: items[::-1])
    yield Spoiler("an iterator", iter)
    yield from _constants(None, 3, "word")
    if items:
        for inner in spoilers(items[-1]):
            yield Spoiler(f"last item: {inner.name}", lambda items, inner=inner: items[:-1] + kind([inner.spoil(items[-1])]), False)


class _Changed(nn.Module):
    """A module whose answers are changed."""

    def __init__(self, module, change):
        super().__init__()
        self.module, self.change = module, change

    def forward(self, *args, **kwargs):
        return self.change(self.module(*args, **kwargs))

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


def _of_function(function) -> Iterator[Spoiler]:
    def changed(change):
        if isinstance(function, nn.Module):
            return lambda f: _Changed(f, change)
        return lambda f: lambda *args, **kwargs: change(f(*args, **kwargs))

    def overwrites(f):
        def overwriting(*args, **kwargs):
            result = f(*args, **kwargs)
            if isinstance(result, (torch.Tensor, np.ndarray)):
                result = result.clone() if isinstance(result, torch.Tensor) else result.copy()
            for value in args:
                if isinstance(value, torch.Tensor) and not value.requires_grad and value.numel():
                    value.zero_()
                elif isinstance(value, np.ndarray) and value.flags.writeable:
                    value[...] = 0
            return result

        return overwriting

    def raises(*args, **kwargs):
        raise Marker

    yield from _constants(None, 3, "word")
    yield Spoiler("returns None", changed(lambda result: None))
    yield Spoiler("returns a word", changed(lambda result: "word"))
    yield Spoiler("returns NaN", changed(lambda result: _each(result, lambda x: x * math.nan)))
    yield Spoiler("returns an axis more", changed(lambda result: _each(result, lambda x: x[None] if hasattr(x, "shape") else [x])))
    yield Spoiler("returns a row less", changed(lambda result: _each(result, lambda x: x[:-1] if getattr(x, "ndim", 0) else None)))
    yield Spoiler("returns one column", changed(lambda result: _each(result, lambda x: x[..., :1] if getattr(x, "ndim", 0) else x)))
    yield Spoiler("returns whole numbers", changed(lambda result: _each(result, _whole)))
    if not isinstance(function, nn.Module):
        yield Spoiler("overwrites its input", overwrites, True)
        yield Spoiler("raises", lambda f: raises)


def _whole(x):
    return x.long() if isinstance(x, torch.Tensor) else x.astype(np.int64) if isinstance(x, np.ndarray) else int(x)


def _each(result, change):
    if isinstance(result, tuple) and not hasattr(result, "_fields"):
        return tuple(_each(item, change) for item in result)
    return change(result) if isinstance(result, (torch.Tensor, np.ndarray, float, int)) else result
