"""A slip is the function with one piece of its source replaced, wherever the function was defined."""

import linecache

import numpy as np
import pytest

from lib.course.claims import UselessCheck, slip
from lib.foundations.derivatives import directional_derivative

SHIFT = 2.0


def shifted(x):
    """x + SHIFT, as a docstring."""
    return x + SHIFT  # the sum


def factorial(n):
    return 1 if n == 0 else n * factorial(n - 1)


def test_a_slip_replaces_one_piece_and_leaves_the_function_alone():
    wrong = slip(shifted, "x + SHIFT  #", "x - SHIFT  #")
    assert (wrong(1.0), shifted(1.0)) == (-1.0, 3.0)


def test_a_slip_of_a_recursion_calls_itself():
    assert slip(factorial, "n * ", "2 * ")(3) == 8


def test_a_slip_sees_the_names_around_a_nested_function():
    offset = 5.0

    def inner(x):
        return x + offset

    assert slip(inner, "+", "-")(1.0) == -4.0


def test_a_slip_of_a_checked_function_of_lib_keeps_its_checks():
    import torch

    wrong = slip(directional_derivative, "ValueError(f", "KeyError(f")
    with pytest.raises(TypeError):
        wrong(torch.sin, torch.ones(2), torch.ones(3))
    with pytest.raises(KeyError):
        wrong(lambda x: x.sum(), torch.ones(2), torch.zeros(2))


def test_a_slip_works_on_a_function_of_a_notebook_cell():
    """A cell's source lives in linecache alone, under a name that is no file."""
    source = "def double(x):\n    return np.multiply(2, x)\n"
    linecache.cache["<cell 3>"] = (len(source), None, source.splitlines(keepends=True), "<cell 3>")
    cell = {"np": np}
    exec(compile(source, "<cell 3>", "exec"), cell)
    assert slip(cell["double"], "2", "3")(4) == 12


@pytest.mark.parametrize(
    "function, right, wrong, words",
    [
        (shifted, "x * SHIFT", "x", "exactly once in the source of shifted, got 0 times"),
        (shifted, "SHIFT", "1", "got 2 times"),
        (shifted, "", "1", "exactly once"),
        (shifted, "return x +", "return x + +)", "does not compile"),
        (shifted, "# the sum", "# a sum", "changes nothing"),
        (shifted, "docstring", "text", "changes nothing"),
        (lambda x: x, "x", "y", "defined with def"),
        (np.add, "x", "y", "defined with def"),
        (3, "x", "y", "defined with def"),
        (shifted, "x + SHIFT  #", "x + SHIFT  #", "changes nothing"),
    ],
)
def test_a_slip_that_is_none_is_refused(function, right, wrong, words):
    with pytest.raises(UselessCheck, match=words):
        slip(function, right, wrong)
