"""What is measured of a method, and what a chapter counts of it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """A method whose cost grows with one size.

    make        the call to time, by the size
    law         in words, how its operations grow
    operations  how many its chapter counts, by the size, up to a factor
    numbers     how many it holds beyond its inputs, by the size, up to a factor
    why         what explains a measured exponent that is not the counted one
    """

    method: str
    chapter: str
    grows: str
    sizes: tuple[int, ...]
    make: Callable[[int], Callable]
    law: str
    operations: Callable[[int], float]
    numbers: Callable[[int], float]
    why: str = ""


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of the logarithms' straight line of least squares."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def doubled(first: int, last: int) -> tuple[int, ...]:
    """first, twice as much, and so on to last."""
    return tuple(first << i for i in range((last // first).bit_length()))


def constant(size: int) -> float:
    return 1


def itself(size: int) -> float:
    return size


def squared(size: int) -> float:
    return size**2
