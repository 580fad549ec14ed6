"""Checks of numbers that arguments must satisfy, one sentence each."""

import math


def require_positive(name: str, value: float) -> None:
    """Refuse a number that is not positive and finite with a `ValueError` that names the argument."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
