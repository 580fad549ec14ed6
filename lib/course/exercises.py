"""Exercises that mark themselves: a hidden checker, a stub that stays green, and a solution that proves the checker."""

from collections.abc import Callable, Mapping

import numpy as np
import torch


class NotYet(Exception):
    """An attempt is wrong; the message is a counterexample."""


class NotAttempted(Exception):
    """The stub is untouched: it returns nothing."""


def require(condition: bool, counterexample: str) -> None:
    """Inside a checker: refuse the attempt, showing `counterexample`, unless `condition` holds."""
    if not condition:
        raise NotYet(counterexample)


def checker(number: int, hint: str) -> Callable[[Callable], "Checker"]:
    """Make a checker of the function below it, which takes an attempt and calls `require`."""
    return lambda test: Checker(number, hint, test)


class Checker:
    """Marks attempts at one exercise. Call it with the reader's function; it prints one line and never raises."""

    def __init__(self, number: int, hint: str, test: Callable[[Callable], None]):
        self.number, self.hint, self._test = number, hint, test

    def __call__(self, attempt: Callable) -> None:
        try:
            self._judge(attempt)
        except NotAttempted:
            print(f"Exercise {self.number}: not attempted (the function returns nothing)")
        except NotYet as wrong:
            print(f"Exercise {self.number}: not yet. {wrong}\n  Hint: {self.hint}")
        else:
            print(f"Exercise {self.number}: ✓ right")

    def prove(self, solution: Callable, wrong: Mapping[str, Callable]) -> None:
        """Show that the solution is accepted and that each wrong answer is rejected; raise if not."""
        if not wrong:
            raise ValueError(f"exercise {self.number}: give at least one wrong answer, the commonest")
        self._judge(solution)
        for name, answer in wrong.items():
            try:
                self._judge(answer)
            except NotYet:
                continue
            raise AssertionError(f"exercise {self.number}: the checker accepts the wrong answer {name!r}")
        print(f"Exercise {self.number}: solution accepted\n  rejected: {'; '.join(wrong)}")

    def _judge(self, attempt: Callable) -> None:
        """Run the test; an error in the attempt counts as a wrong answer."""
        answered = False

        def answer(*inputs):
            nonlocal answered
            try:
                result = attempt(*map(_copy, inputs))
            except Exception as error:
                raise NotYet(f"Your code raised {type(error).__name__}: {error}") from error
            if result is None or result is ...:
                raise NotYet("Your function returns nothing in some cases.") if answered else NotAttempted
            answered = True
            return result

        try:
            self._test(answer)
        except (NotYet, NotAttempted):
            raise
        except Exception as error:  # an answer of the wrong type or shape breaks the comparison
            raise NotYet(f"Your answer cannot be compared: {type(error).__name__}: {error}") from error


def _copy(value):
    """Arrays are copied, so that an attempt that changes its input does not change the checker's."""
    if isinstance(value, np.ndarray):
        return value.copy()
    return value.clone() if isinstance(value, torch.Tensor) else value
