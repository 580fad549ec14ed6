import numpy as np
import pytest

from lib.course import exercises


@exercises.checker(2, hint="think of a square")
def check_square(attempt):
    for x in (2, 3):
        got = attempt(x)
        exercises.require(got == x * x, f"for x = {x} you return {got}")


@pytest.mark.parametrize(
    "attempt, line",
    [
        (lambda x: None, "Exercise 2: not attempted (the function returns nothing)\n"),
        (lambda x: ..., "Exercise 2: not attempted (the function returns nothing)\n"),
        (lambda x: 2 * x, "Exercise 2: not yet. for x = 3 you return 6\n  Hint: think of a square\n"),
        (lambda x: 4 if x == 2 else None, "Exercise 2: not yet. Your function returns nothing in some cases.\n  Hint: think of a square\n"),
        (lambda x: x**2, "Exercise 2: ✓ right\n"),
        (lambda x: 1 / 0, "Exercise 2: not yet. Your code raised ZeroDivisionError: division by zero\n  Hint: think of a square\n"),
    ],
)
def test_each_state_of_an_attempt_has_its_line_and_nothing_raises(attempt, line, capsys):
    check_square(attempt)
    assert capsys.readouterr().out == line


def test_an_answer_that_breaks_the_comparison_is_not_yet(capsys):
    @exercises.checker(1, hint="h")
    def check_length(attempt):
        exercises.require(len(attempt()) == 2, "wrong length")

    check_length(lambda: 5)
    assert "Exercise 1: not yet. Your answer cannot be compared: TypeError" in capsys.readouterr().out


def test_an_attempt_that_changes_its_input_does_not_change_the_checkers(capsys):
    @exercises.checker(1, hint="h")
    def check_sum(attempt):
        values = np.ones(3)
        for _ in range(2):
            exercises.require(attempt(values) == values.sum() == 3, "the sum changed")

    def greedy(values):
        total = values.sum()
        values[:] = 0
        return total

    check_sum(greedy)
    assert capsys.readouterr().out == "Exercise 1: ✓ right\n"


def test_a_proof_shows_the_solution_accepted_and_the_mistakes_rejected(capsys):
    check_square.prove(lambda x: x * x, {"double": lambda x: 2 * x, "raises": lambda x: 1 / 0})
    assert capsys.readouterr().out == "Exercise 2: solution accepted\n  rejected: double; raises\n"


@pytest.mark.parametrize(
    "solution, wrong, error, words",
    [
        (lambda x: x, {"double": lambda x: 2 * x}, exercises.NotYet, "you return"),
        (lambda x: None, {"double": lambda x: 2 * x}, exercises.NotAttempted, None),
        (lambda x: x * x, {"also right": lambda x: x**2}, AssertionError, "accepts the wrong answer 'also right'"),
        (lambda x: x * x, {"a stub": lambda x: None}, exercises.NotAttempted, None),
        (lambda x: x * x, {}, ValueError, "at least one wrong answer"),
    ],
)
def test_a_proof_that_does_not_hold_raises(solution, wrong, error, words):
    with pytest.raises(error, match=words):
        check_square.prove(solution, wrong)
