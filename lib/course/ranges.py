"""Checks of what arguments must satisfy, one sentence each: the argument, what was expected, what came."""

import math
from numbers import Integral, Real

import numpy as np

from lib.course.shapes import checked_after_errors


@checked_after_errors
def require_positive(name: str, value: float) -> None:
    """Refuse a number that is not positive and finite with a `ValueError` that names the argument.

    Like its siblings, it refuses what is not a number with a `TypeError`: an array, and True and False as well.
    """
    if not 0 < _number(name, value) < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")


@checked_after_errors
def require_not_negative(name: str, value: float) -> None:
    """Refuse a number that is negative or not finite."""
    if not 0 <= _number(name, value) < math.inf:
        raise ValueError(f"{name} must be finite and not negative, got {value}")


@checked_after_errors
def require_in(name: str, value: float, low: float, high: float, ends: str = "[]") -> None:
    """Refuse a number outside an interval; `ends` shows by "[]", "()", "[)" or "(]" which of its ends belong to it."""
    number = _number(name, value)
    if len(ends) != 2:
        raise ValueError(f"ends must be two brackets, such as [), got {ends!r}")
    if not low <= number <= high or (number == low and ends[0] == "(") or (number == high and ends[1] == ")"):
        raise ValueError(f"{name} must lie in {ends[0]}{low}, {high}{ends[1]}, got {value}")


@checked_after_errors
def require_at_least(name: str, value: int, least: int) -> None:
    """Refuse a count that is too small."""
    if not _number(name, value) >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def require_whole(name: str, value: int, least: int) -> None:
    """Refuse what is no whole number, such as 2.0, and a count that is too small."""
    require_at_least(name, value, least)
    if not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value}")


@checked_after_errors
def require_finite(name: str, values: float | np.ndarray) -> None:
    """Refuse a number, or an array with an entry, that is NaN or infinite."""
    if np.ndim(values) == 0:
        if not math.isfinite(_number(name, values)):
            raise ValueError(f"{name} must be finite, got {values}")
    elif not np.all(np.isfinite(values)):
        raise ValueError(f"{name} must be finite, got NaN or infinite entries")


@checked_after_errors
def require_signs(name: str, values: np.ndarray) -> None:
    """Refuse an empty array, and entries other than -1 and 1."""
    if values.size == 0 or not np.all((values == 1) | (values == -1)):
        raise ValueError(f"{name} must be -1 or 1, and not empty, got {np.unique(values)[:5]}")


@checked_after_errors
def own_array(name: str, values, shape: tuple[int, ...], copy: bool = True) -> np.ndarray:
    """A copy in float64 of what a foreign function returned, which may change it later; refuses another shape.

    Without `copy` it is the array itself where it can be, for a caller who is done with it before the next call.
    """
    array = np.array(values, copy=copy or None)
    if array.shape != shape or array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must return real numbers of shape {shape}, got shape {array.shape} of {array.dtype}")
    return array.astype(np.float64, copy=False)


def _number(name: str, value: float) -> float:
    if type(value) is float:  # to ask whether a type is a `Real` takes longer than all else here
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
