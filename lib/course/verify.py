"""What all kinds of claims share: the control loop, the printed line, the recorded margin, and safe conversions."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import torch

from lib.course.line import NEED_CONTROLS, Line, is_plain
from lib.course.shapes import checked_after_errors

if TYPE_CHECKING:
    import sympy

LARGEST_INTEGER = 2**53


class ClaimFailed(AssertionError):
    """A claim is false: the message says what was expected, what came and where it was worst."""


class UselessCheck(ValueError):
    """A check was called so that it could not fail, or its control passes."""


class Claim:
    """One check of one numbered equation.

    `compare` takes the claimed value, or a control in its place, and returns (deviation, message). The value passes
    when the deviation is at most `allowance`.
    """

    @checked_after_errors
    def __init__(self, number: int, kind: str, threshold: str, what: str, controls: Mapping[str, object]):
        if type(number) is not int or number < 1:
            raise UselessCheck(f"number must be that of an equation, 1 or more, got {number!r}")
        require_controls(number, controls)
        for words in (what, *controls):
            if not is_plain(words):
                raise UselessCheck(f"({number}): a text must be one plain line without ' · ', '; ' and '✓', got {words!r}")
        if kind in NEED_CONTROLS and not controls:
            raise UselessCheck(f"({number}): a {kind} check needs a control in unlike")
        self.line = Line(number, kind, threshold, what, tuple(controls))
        self.controls = controls

    @checked_after_errors
    def verify(self, compare: Callable, value, allowance: float) -> None:
        """Print the claim's line, or raise: `ClaimFailed` for the value, `UselessCheck` for a control that passes."""
        deviation, message = self._compared(compare, value)
        if not deviation <= allowance:
            raise ClaimFailed(f"({self.line.number}) {self.line.kind}: {self.line.what}: {message}")
        for name, mistake in self.controls.items():
            if not self._compared(compare, mistake)[0] > allowance:
                raise UselessCheck(f"({self.line.number}): the control {name!r} passes, so the check cannot reject it")
        print(self.line)
        self._record(allowance, deviation)

    def _compared(self, compare, value):
        answer = compare(value)
        if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], Real)):
            raise UselessCheck(f"({self.line.number}): compare must return a deviation and a message, got {answer!r}")
        return answer

    def _record(self, threshold: float, value: float) -> None:
        """Append the margin to the file that COURSE_MARGINS names, for a sweep over seeds to collect.

        `used` is the share of the allowance that was used: 1 is at the limit.
        """
        path = os.environ.get("COURSE_MARGINS")
        if not path:
            return
        used = max(value / threshold, 0.0) if threshold else 0.0
        if self.line.kind == "measured":  # compared as -effect <= -threshold
            threshold, value, used = -threshold, -value, threshold / value if value else 1.0
        line = self.line
        row = dict(number=line.number, kind=line.kind, what=line.what, threshold=threshold, value=value, used=used)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@checked_after_errors
def require_controls(number: int, controls: Mapping[str, object]) -> None:
    """Refuse controls that are not given by name."""
    if not isinstance(controls, Mapping):
        raise UselessCheck(f"({number}): controls must be a mapping from names, got {type(controls).__name__}")


@checked_after_errors
def require_tolerance(number: int, name: str, value: float) -> None:
    """Refuse a tolerance that is infinite, NaN or negative."""
    if not (isinstance(value, Real) and 0 <= value <= sys.float_info.max):
        raise UselessCheck(f"({number}): {name} must be finite and not negative, got {value}")


@checked_after_errors
def require_shape(number: int, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse a silent broadcast: both sides of a comparison have one shape."""
    if array.shape != shape:
        raise UselessCheck(f"({number}): expected shape {shape}, got {array.shape}")


@checked_after_errors
def as_array(number: int, value, kinds: str = "iuf") -> np.ndarray:
    """A float64 or complex128 copy of a tensor, array or nested list of numbers.

    Empty, masked and non-finite values are refused, and so are numbers of a kind that is not in `kinds` (numpy's
    letters: b, i, u, f, c) and whole numbers too large for a float64.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    try:
        array = np.array(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UselessCheck(f"({number}): expected numbers in a tensor, an array or a list, got {value!r}") from error
    if array.size == 0:
        raise UselessCheck(f"({number}): there is nothing to check: a value is empty")
    if array.dtype.kind not in kinds or np.ma.isMaskedArray(value):
        raise UselessCheck(f"({number}): expected an array of numpy's kinds {kinds!r}, got {type(value).__name__} of {array.dtype}")
    if array.dtype.kind in "iu" and max(-int(array.min()), int(array.max())) > LARGEST_INTEGER:
        raise UselessCheck(f"({number}): whole numbers must be at most 2**53 to be compared exactly, got {array.max()}")
    array = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64, copy=False)
    if not np.all(np.isfinite(array)):
        raise UselessCheck(f"({number}): values must be finite, got {np.sum(~np.isfinite(array))} NaN or infinite entries")
    return array


def as_expressions(number: int, value) -> "sympy.Matrix":
    """A sympy matrix from an expression, a sequence or a matrix; floats, NaN and infinities are refused."""
    import sympy

    if isinstance(value, str):
        raise UselessCheck(f"({number}): expected sympy expressions, got the text {value!r}")
    try:
        matrix = sympy.Matrix(value) if isinstance(value, (list, tuple, sympy.MatrixBase)) else sympy.Matrix([value])
        entries = [sympy.sympify(entry) for entry in matrix]
    except (TypeError, ValueError, AttributeError, sympy.SympifyError) as error:
        raise UselessCheck(f"({number}): expected sympy expressions, got {value!r}") from error
    if not all(isinstance(entry, sympy.Expr) for entry in entries):
        raise UselessCheck(f"({number}): expected sympy expressions, got {value!r}")
    if not len(matrix):
        raise UselessCheck(f"({number}): there is nothing to check: a value is empty")
    if matrix.has(sympy.nan, sympy.zoo, sympy.Float) or any(entry.is_infinite for entry in matrix):
        raise UselessCheck(f"({number}): expressions must be free of NaN, infinities and floats, got {value}")
    return matrix


@checked_after_errors
def worst(deviations: np.ndarray) -> tuple[int, ...]:
    """The index of the largest entry; `deviations` are not empty."""
    if not deviations.size:
        raise ValueError(f"deviations must not be empty, got shape {deviations.shape}")
    return tuple(int(i) for i in np.unravel_index(np.argmax(deviations), deviations.shape))
