"""What became of one call: a right answer, a clear error, or a fault."""

import contextlib
import inspect
import io
import math
import random
import re
import signal
import traceback
import warnings
from collections.abc import Callable
from dataclasses import fields, is_dataclass

import numpy as np
import torch
from torch import nn

from public import Target
from spoilers import Marker

SECONDS = 4.0
RIGHT, CLEAR, NO_MEMORY = "right answer", "clear error", "no memory"
NO_ROOM = "allocate", "Storage size calculation", "integer multiplication overflow"  # what torch says of it
GENERATORS = torch.Generator, np.random.Generator


class Hang(BaseException):
    """A call took too long."""


def _alarm(*_):
    raise Hang


def verdict(
    target: Target, arguments: dict, argument: str, may_change: set[str] = frozenset(), may_be_nan: bool = False, expected=None
) -> tuple[str, str, object]:
    """What a call comes to, in words, with a detail, and what it returned. `expected` is the answer, where it is known."""
    torch.manual_seed(0)  # for a constructor's first weights
    before = {name: frozen(value) for name, value in arguments.items()}
    generators = {name: frozen(value, generators=True) for name, value in arguments.items()}
    world, result, error = state_of_the_world(), None, None
    signal.signal(signal.SIGPROF, _alarm)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(), np.errstate():
            warnings.simplefilter("ignore")
            result = target.call(arguments)
            if hasattr(result, "__next__"):
                result = list(result)
            left = state_of_the_world()
    except Hang:
        return "hangs", f"more than {SECONDS:g} s", None
    except Exception as raised:
        error, left = raised, state_of_the_world()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_ROOM):
        return NO_MEMORY, "", None
    if isinstance(target.function, type) and issubclass(target.function, nn.Module):
        world["torch's random state"] = left["torch's random state"]  # a module's first weights are drawn from it
    if left != world:
        changed = [name for name in world if world[name] != left[name]]
        restore(world)
        return "changes global state", ", ".join(changed), result
    for name, value in arguments.items():
        if name not in may_change and frozen(value) != before[name]:
            return "changes an argument", name, result
        if error is not None and name not in may_change and frozen(value, generators=True) != generators[name]:
            return "moves a generator in spite of an error", f"{name}: {_words(error)}", result
    if error is not None:
        return (*_of_error(target, error, [argument, *_names(target, arguments)]), None)
    if not may_be_nan and has_nan(result) and all(is_finite(value) for value in arguments.values()):
        return "NaN from finite input", "", result
    if expected is not None and not agree(result, expected):
        return "another answer to the same input", "", result
    return RIGHT, "", result


def _names(target, arguments) -> list[str]:
    """What a message may call an argument: its name or, for a check of others' arguments, the name that it was given."""
    fields = [field for value in arguments.values() for field in getattr(value, "_fields", ())]
    given = [value for name, value in arguments.items() if name == "name" and isinstance(value, str)]
    of_owner = inspect.signature(target.owner).parameters if target.owner else ()
    return [*target.parameters, *of_owner, *fields, *given, *(arguments["arguments"] if isinstance(arguments.get("arguments"), dict) else ())]


def _of_error(target, error, names) -> tuple[str, str]:
    words, kind = _words(error), type(error).__name__
    if isinstance(error, Marker) or kind in target.documentation and not isinstance(error, (ValueError, TypeError)):
        return CLEAR, ""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if "/lib/" in frame.filename and "site-packages" not in frame.filename]
    where = f"{inside[-1].filename.rsplit('/lib/')[-1]}:{inside[-1].lineno} {words}" if inside else words
    if not isinstance(error, (ValueError, TypeError)):
        return kind, where
    if kind == "UselessCheck":  # it names the equation, and the argument where there is one
        return CLEAR, ""
    if "return value" in str(error)[:200]:
        return "the answer has another shape than the signature says", where
    if not any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", str(error)) for name in names if name):
        return f"{kind} without an argument's name", where
    if not re.search("must|expected|typecheck|violates|needs|undefined|contains|Unrecognized", str(error)):
        return f"{kind} without what was expected", where
    return CLEAR, ""


def _words(error) -> str:
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:200]


def frozen(value, generators: bool = False, depth: int = 0):
    """Something that can be compared later: equal if and only if nothing in the value changed."""
    if isinstance(value, GENERATORS):
        state = value.get_state().numpy().tobytes() if isinstance(value, torch.Generator) else str(value.bit_generator.state)
        return state if generators else None
    if isinstance(value, torch.Tensor):
        if value.is_meta:
            return tuple(value.shape), value.dtype
        content = value.detach().contiguous().view(-1).view(torch.uint8) if value.numel() else value.new_zeros(0)
        return tuple(value.shape), value.dtype, value.requires_grad, content.resolve_conj().numpy().tobytes(), frozen(value.grad) if value.is_leaf else None
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if depth > 6:
        return None
    if isinstance(value, dict):
        return tuple((str(key), frozen(item, generators, depth + 1)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item, generators, depth + 1) for item in value)
    if isinstance(value, nn.Module):
        hooks = {k: v for k, v in vars(value).items() if k.startswith("_") and "hook" in k}
        return value.training, len(hooks), tuple((k, frozen(v)) for k, v in {**dict(value.named_parameters()), **dict(value.named_buffers())}.items())
    if is_dataclass(value) and not isinstance(value, type):  # what it caches besides its fields is no change
        return tuple(frozen(getattr(value, field.name), generators, depth + 1) for field in fields(value))
    if type(value).__module__.startswith("lib.") and hasattr(value, "__dict__"):
        return frozen(vars(value), generators, depth + 1)
    return repr(value) if isinstance(value, (int, float, str, bool, type(None))) else id(value)


def state_of_the_world() -> dict:
    """What a call must leave as it is."""
    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's random state": str(np.random.get_state()),
        "python's random state": hash(random.getstate()),
        "the default dtype": torch.get_default_dtype(),
        "the threads": torch.get_num_threads(),
        "the grad mode": torch.is_grad_enabled(),
        "the inference mode": torch.is_inference_mode_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "numpy's errors": str(np.geterr()),
    }


def restore(world: dict) -> None:
    """Put back what a faulty call changed, so that it is one fault and not many."""
    torch.set_default_dtype(world["the default dtype"])
    torch.set_num_threads(world["the threads"])
    torch.set_grad_enabled(world["the grad mode"])


def leaves(value, depth: int = 0):
    """The numbers in a value: tensors, arrays, floats."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic, int, float, complex)):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif depth < 6:
        if isinstance(value, dict):
            value = list(value.values())
        elif is_dataclass(value) and not isinstance(value, type):
            value = [getattr(value, field.name) for field in fields(value)]
        elif type(value).__module__.startswith("lib.") and hasattr(value, "__dict__"):
            value = list(vars(value).values())
        if isinstance(value, (list, tuple)):
            for item in value:
                yield from leaves(item, depth + 1)


def has_nan(value) -> bool:
    return any(_any(leaf, torch.isnan, np.isnan) for leaf in leaves(value))


def is_finite(value) -> bool:
    return not any(_any(leaf, lambda t: ~t.isfinite(), lambda a: ~np.isfinite(a)) for leaf in leaves(value))


def _any(leaf, of_tensor, of_array) -> bool:
    if isinstance(leaf, torch.Tensor):
        return not leaf.is_meta and bool(of_tensor(leaf.detach()).any())
    array = np.asarray(leaf) if not isinstance(leaf, int) else np.zeros(0)
    return array.dtype.kind in "fc" and bool(np.any(of_array(array)))


def agree(result, expected) -> bool:
    """Whether two answers are one, up to rounding."""
    mine, other = list(leaves(result)), list(leaves(expected))
    if len(mine) != len(other):
        return False
    return all(_close(a, b) for a, b in zip(mine, other, strict=True))


def _close(a, b) -> bool:
    a, b = (x.detach().double().numpy() if isinstance(x, torch.Tensor) and not x.is_meta else x for x in (a, b))
    if np.shape(a) != np.shape(b):
        return False
    return np.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)
