from fractions import Fraction

import numpy as np
import pytest

from lib.course import ranges

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "check, good, bad, words",
    [
        (ranges.require_positive, [5e-324, 1.7e308, 3, np.float32(2)], [0.0, -1, NAN, INF, 10**400], "positive and finite"),
        (ranges.require_not_negative, [0, 0.0, 5e-324], [-5e-324, NAN, INF], "finite and not negative"),
        (lambda name, v: ranges.require_in(name, v, 0, 1), [0, 0.5, 1], [-1e-9, 1.1, NAN], r"lie in \[0, 1\]"),
        (lambda name, v: ranges.require_in(name, v, 0, 1, "[)"), [0, 0.5], [1, -1, NAN], r"lie in \[0, 1\)"),
        (lambda name, v: ranges.require_in(name, v, 0, 1, "()"), [0.5], [0, 1, NAN], r"lie in \(0, 1\)"),
        (lambda name, v: ranges.require_at_least(name, v, 1), [1, np.int8(3), 10**400], [0, -3], "at least 1"),
        (lambda name, v: ranges.require_whole(name, v, 1), [1, np.int8(3), 10**400], [0, -3], "at least 1"),
        (ranges.require_finite, [0, -1e308], [NAN, -INF, 10**400], "finite"),
    ],
)
def test_numbers_are_refused_by_name_with_what_came(check, good, bad, words):
    for value in good:
        check("weight", value)
    for value in bad:
        with pytest.raises(ValueError, match=f"weight must (be )?{words}, got {value}"):
            check("weight", value)
    for value in (True, np.False_, "1", None, 1j):
        with pytest.raises(TypeError, match=f"weight must be a number, got {value!r}".replace("(", r"\(").replace(")", r"\)")):
            check("weight", value)


@pytest.mark.parametrize("value", [2.0, 1.5, np.float32(3), Fraction(7, 2)])
def test_a_count_is_a_whole_number(value):
    with pytest.raises(TypeError, match=f"steps must be a whole number, got {value}"):
        ranges.require_whole("steps", value, 1)


def test_arrays_are_refused_by_name():
    ranges.require_finite("x", np.zeros(0))
    with pytest.raises(ValueError, match="x must be finite, got NaN or infinite entries"):
        ranges.require_finite("x", np.array([0.0, NAN]))
    ranges.require_signs("y", np.array([1, 1], dtype=np.uint8))
    for values in (np.zeros(0), np.array([1, 0]), np.array([-128], dtype=np.int8), np.array([255], dtype=np.uint8)):
        with pytest.raises(ValueError, match="y must be -1 or 1, and not empty"):
            ranges.require_signs("y", values)


def test_what_a_function_returned_is_copied_in_float64():
    buffer = np.array([100, 2], dtype=np.int8)
    own = ranges.own_array("f", buffer, (2,))
    buffer[:] = 0
    assert own.dtype == np.float64 and own.tolist() == [100, 2]
    for values, came in [(1.0, r"\(\)"), (np.zeros((2, 1)), r"\(2, 1\)"), ([True, False], "bool"), ([1j, 0], "complex"), (None, "object")]:
        with pytest.raises(ValueError, match=rf"f must return real numbers of shape \(2,\), got .*{came}"):
            ranges.own_array("f", values, (2,))
