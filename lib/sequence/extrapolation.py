"""Rotary frequencies for texts longer than the trained ones: functions of frequencies, and of factors.

`lib.sequence.position.Rotary` takes what they return. A pair's *turns* are those it makes within the trained length L:
L θ_i / 2π.
"""

import math

from torch import Tensor

from lib.course.ranges import require_at_least, require_finite, require_positive
from lib.course.shapes import Float64, checked
from lib.course.tensors import require_finite_entries


@checked
def interpolated(frequencies: Float64[Tensor, "pairs"], factor: float) -> Float64[Tensor, "pairs"]:
    """θ_i / factor for every pair, which is to divide all positions by it. Source: arXiv 2306.15595."""
    _require(frequencies, factor)
    return frequencies / factor


@checked
def ntk_base(base: float, factor: float, dim: int) -> float:
    """The base b' = b factor^(dim/(dim-2)): the slowest pair becomes slower by `factor`, the fastest stays as it is.

    `dim` is the width of a head, at least 4: with a single pair the fastest is the slowest. Source: arXiv 2309.00071,
    the section on "NTK-aware" interpolation.
    """
    _require_factor(factor)
    require_positive("base", base)
    if dim < 4 or dim % 2:
        raise ValueError(f"dim must be even and at least 4, got {dim}")
    return base * factor ** (dim / (dim - 2))


@checked
def dynamic_factor(length: int, trained: int, factor: float) -> float:
    """λ = factor length/trained - (factor - 1) beyond the trained length, and 1 up to there: 'dynamic NTK' uses it.

    Source: transformers' "dynamic" rotary embedding. With a factor of 1 it is YaRN's max(1, length/trained), arXiv
    2309.00071, the section on "dynamic scaling".
    """
    _require_factor(factor)
    require_at_least("length", length, 1)
    require_at_least("trained", trained, 1)
    return max(1.0, factor * length / trained - (factor - 1))


@checked
def by_parts(
    frequencies: Float64[Tensor, "pairs"], factor: float, trained: float, slow: float = 1.0, fast: float = 32.0
) -> Float64[Tensor, "pairs"]:
    """Pairs with at most `slow` turns are divided by the factor, those with at least `fast` are kept, linear between.

    With n turns in the trained length and γ = (n - slow) / (fast - slow), within 0 and 1, a pair gets
    (1 - γ) θ / factor + γ θ. Source: arXiv 2309.00071, the section on "NTK-by-parts"; with slow 1 and fast 4 it is
    Llama 3.1's.
    """
    _require(frequencies, factor)
    require_positive("trained", trained)
    for name, turns in (("slow", slow), ("fast", fast)):
        require_finite(name, turns)
    if not 0 <= slow < fast:
        raise ValueError(f"slow must not be negative and be below fast, got {slow} and {fast}")
    turns = trained * frequencies / (2 * math.pi)
    kept = ((turns - slow) / (fast - slow)).clamp(0, 1)
    return (1 - kept) * frequencies / factor + kept * frequencies


@checked
def yarn_magnitude(factor: float) -> float:
    """0.1 log(factor) + 1, by which YaRN multiplies rotated queries and keys. Source: arXiv 2309.00071, section "YaRN"."""
    _require_factor(factor)
    return 0.1 * math.log(factor) + 1


def _require(frequencies, factor):
    require_finite_entries("frequencies", frequencies)
    if not (frequencies > 0).all():
        raise ValueError(f"frequencies must be positive, got {frequencies.min():g}")
    _require_factor(factor)


def _require_factor(factor):
    require_finite("factor", factor)
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}")
