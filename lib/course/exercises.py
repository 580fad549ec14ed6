"""Exercises that mark themselves: a hidden checker, a stub that stays green, and a solution that proves the checker."""

import copy
from collections.abc import Callable, Mapping

import numpy as np
import torch

from lib.course.shapes import checked_after_errors
from lib.course.verify import worst

MOST_DIGITS = 17
ALIKE = 1e-6


class NotYet(Exception):
    """An attempt is wrong; the message is a counterexample."""


class NotAttempted(Exception):
    """The stub is untouched: it returns nothing."""


def require(condition: bool, counterexample: str) -> None:
    """Inside a checker: refuse the attempt with a `NotYet`, showing `counterexample`, unless `condition` holds."""
    if not condition:
        raise NotYet(counterexample)


@checked_after_errors
def same(got, want, case: str, atol: float) -> None:
    """Inside a checker: refuse with a `NotYet` an answer that is not within `atol` of `want` everywhere, in shape and value.

    `case` begins the counterexample, for instance "For n = 3". Numbers, tensors, arrays and lists are compared; an entry
    that is NaN or infinite is refused. The values are shown with as many digits as it takes to tell them apart.
    """
    left, right = (_array(value, name) for name, value in (("got", got), ("want", want)))
    require(left.shape == right.shape, f"{case}, your answer has shape {left.shape}; expected {right.shape}.")
    if not left.size:
        return
    deviations = np.abs(np.where(np.isfinite(left), left, np.inf) - np.where(np.isfinite(left), right, 0))
    at = worst(deviations)
    if deviations[at] > atol:
        digits = next((n for n in range(4, MOST_DIGITS) if f"{left[at]:.{n}g}" != f"{right[at]:.{n}g}"), MOST_DIGITS)
        where = f" at index {at if len(at) > 1 else at[0]}" if at else ""
        raise NotYet(f"{case}, your answer{where} is {left[at]:.{digits}g}; expected {right[at]:.{digits}g}.")


@checked_after_errors
def checker(number: int, hint: str) -> Callable[[Callable], "Checker"]:
    """Make a checker of the function below it, which takes an attempt and calls `require` or `same`."""
    return lambda test: Checker(number, hint, test)


class Checker:
    """Marks attempts at one exercise. Call it with the reader's function; it prints and never raises.

    After `prove`, a refused attempt that answers as one of the known mistakes does is told which.
    """

    @checked_after_errors
    def __init__(self, number: int, hint: str, test: Callable[[Callable], None]):
        self.number, self.hint, self._test = number, hint, test
        self._solution: Callable | None = None
        self._mistakes: dict[str, Callable] = {}

    def __call__(self, attempt: Callable) -> None:
        calls = []
        try:
            self._judge(attempt, calls)
        except NotAttempted:
            print(f"Exercise {self.number}: not attempted (the function returns nothing)")
        except NotYet as wrong:
            mistake = self._resembles(calls)
            looks = f"\n  It answers like this mistake: {mistake}." if mistake else ""
            print(f"Exercise {self.number}: not yet. {wrong}{looks}\n  Hint: {self.hint}")
        except NameError as error:
            print(f"Exercise {self.number}: run the cells above first ({error}).")
        else:
            print(f"Exercise {self.number}: ✓ right")

    @checked_after_errors
    def prove(self, solution: Callable, wrong: Mapping[str, Callable]) -> None:
        """Show that the solution is accepted and that each wrong answer is rejected.

        Otherwise the checker's `NotYet` or `NotAttempted` comes out, or an `AssertionError` names the wrong answer.
        """
        if not wrong:
            raise ValueError(f"exercise {self.number}: give at least one wrong answer, the commonest")
        self._judge(solution, [])
        for name, answer in wrong.items():
            try:
                self._judge(answer, [])
            except NotYet:
                continue
            raise AssertionError(f"exercise {self.number}: the checker accepts the wrong answer {name!r}")
        self._solution, self._mistakes = solution, dict(wrong)
        print(f"Exercise {self.number}: solution accepted\n  rejected: {'; '.join(wrong)}")

    def _resembles(self, calls: list) -> str | None:
        """The known mistake that gives the attempt's answers; none where these answers are also the solution's."""
        if self._solution is None or _answers_alike(self._solution, calls):
            return None
        return next((name for name, answer in self._mistakes.items() if _answers_alike(answer, calls)), None)

    def _judge(self, attempt: Callable, calls: list) -> None:
        """Run the test; an error in the attempt counts as a wrong answer. Appends (inputs, result) of each call to `calls`."""
        attempts = 0

        def answer(*inputs):
            nonlocal attempts
            attempts += 1
            before = _copy(inputs, for_record=True)
            try:
                result = attempt(*_copy(inputs))
            except Exception as error:
                raise NotYet(f"Your code raised {type(error).__name__}: {error}") from error
            if result is None or result is ...:
                raise NotYet("Your function returns nothing in some cases.") if attempts > 1 else NotAttempted
            calls.append((before, _copy(result, for_record=True)))
            return result

        try:
            self._test(answer)
        except (NotYet, NotAttempted, NameError):  # a name that the checker misses is one of an earlier cell
            raise
        except Exception as error:
            raise NotYet(f"Your answer cannot be compared: {type(error).__name__}: {error}") from error


def _array(value, name: str = "an answer") -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    array = np.asarray(value)
    if array.dtype.kind in "SUO" and not isinstance(value, (list, tuple)) and np.ndim(value) == 0:
        raise TypeError(f"{name} must be numbers, got {value!r}")
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _copy(value, for_record: bool = False):
    """A copy of arrays and containers, so that an attempt cannot change the checker's.

    The attempt shares generators and autograd's graph with its checker; a record of the call shares nothing.
    """
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad) if for_record else value.clone()
    if isinstance(value, dict):
        return {key: _copy(entry, for_record) for key, entry in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(_copy(entry, for_record) for entry in value)
    if for_record and isinstance(value, np.random.Generator):
        return copy.deepcopy(value)
    if for_record and isinstance(value, torch.Generator):
        return torch.Generator(value.device).set_state(value.get_state())
    return value


def _answers_alike(mistake: Callable, calls: list) -> bool:
    """Whether a known mistake gives the attempt's results for the attempt's inputs."""
    try:
        return bool(calls) and all(_alike(mistake(*_copy(inputs, for_record=True)), result) for inputs, result in calls)
    except Exception:
        return False


def _alike(a, b) -> bool:
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(_alike(x, y) for x, y in zip(a, b, strict=True))
    a, b = _array(a), _array(b)
    largest = np.abs(b).max(initial=0, where=np.isfinite(b))
    return a.shape == b.shape and np.allclose(a, b, rtol=ALIKE, atol=ALIKE * largest, equal_nan=True)
