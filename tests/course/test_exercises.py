import warnings

import numpy as np
import pytest
import torch

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


def hint_of(check, attempt, capsys):
    check(attempt)
    return capsys.readouterr().out


def test_a_refused_attempt_is_told_which_known_mistake_it_resembles(capsys):
    @exercises.checker(3, hint="h")
    def check_noise(attempt):
        generator = np.random.default_rng(0)
        exercises.same(attempt(generator, [1.0, 2.0]), np.random.default_rng(0).normal(size=2) + [1, 2], "For two means", 1e-12)

    wrong = {"minus": lambda g, means: g.normal(size=2) - means, "no noise": lambda g, means: np.array(means)}
    check_noise.prove(lambda g, means: np.array(means) + g.normal(size=2), wrong)
    capsys.readouterr()
    assert "answers like this mistake: no noise." in hint_of(check_noise, lambda g, means: torch.tensor(means), capsys)
    assert "answers like this mistake: minus." in hint_of(check_noise, lambda g, means: g.normal(size=2) - means, capsys)
    assert "mistake" not in hint_of(check_noise, lambda g, means: [7.0, 7.0], capsys)
    assert "mistake" not in hint_of(check_noise, lambda g, means: "text", capsys)


def test_a_checker_that_needs_earlier_cells_says_so(capsys):
    @exercises.checker(4, hint="h")
    def check_chain(attempt):
        exercises.require(attempt(1) == earlier_cell(1), "no")  # noqa: F821

    assert hint_of(check_chain, lambda x: x, capsys).startswith("Exercise 4: run the cells above first (name 'earlier_cell'")
    assert "Your code raised NameError" in hint_of(check_chain, lambda x: mine, capsys)  # noqa: F821


@pytest.mark.parametrize("given", [[1.0, 2.0], {"a": [1.0]}, (np.ones(2), [1.0]), torch.ones(2), {1.0, 2.0}])
def test_what_a_checker_hands_out_is_the_attempts_to_change(given, capsys):
    @exercises.checker(5, hint="h")
    def check_kept(attempt):
        for _ in range(2):
            exercises.require(attempt(given) == 1, "no")
            exercises.require(str(given) == before, "the checker's input changed")

    def greedy(value):
        for entry in (value, *(value if isinstance(value, tuple) else ()), *(value.values() if isinstance(value, dict) else ())):
            if isinstance(entry, (np.ndarray, torch.Tensor)):
                entry[:] = 0
            elif isinstance(entry, (list, set, dict)):
                entry.clear()
        return 1

    before = str(given)
    assert hint_of(check_kept, greedy, capsys) == "Exercise 5: ✓ right\n"


@pytest.mark.parametrize("rng, draw", [(np.random.default_rng(0), "random"), (torch.Generator(), "seed")])
def test_an_attempt_draws_from_the_checkers_own_generator(rng, draw, capsys):
    @exercises.checker(5, hint="h")
    def check_draws(attempt):
        exercises.require(attempt(rng) != attempt(rng), "the same number twice")

    assert hint_of(check_draws, lambda rng: getattr(rng, draw)(), capsys) == "Exercise 5: ✓ right\n"


@pytest.mark.parametrize(
    "got, want, words",
    [
        (1.0, 1.0 + 1e-9, None),
        ([1, 2], torch.tensor([1, 2]), None),
        ([], [], None),
        ([1.0, 2.5], [1.0, 2.0], "For n = 3, your answer at index 1 is 2.5; expected 2."),
        ([[1.0, 2.5]], [[1.0, 2.0]], r"at index \(0, 1\) is 2.5"),
        (np.float32(0.1), 0.1, r"your answer is 0.100000001; expected 0.1\."),
        (float("nan"), 1.0, "is nan; expected 1"),
        (float("inf"), float("inf"), "is inf; expected inf"),
        ([1.0], 1.0, r"has shape \(1,\); expected \(\)"),
        (1 + 2j, 1 + 3j, r"is 1\+2j; expected 1\+3j"),
    ],
)
def test_same_refuses_what_differs_and_shows_the_digits_that_do(got, want, words):
    if words is None:
        exercises.same(got, want, "For n = 3", atol=1e-8)
    else:
        with pytest.raises(exercises.NotYet, match=words):
            exercises.same(got, want, "For n = 3", atol=1e-9)


def test_an_attempt_that_answers_as_the_solution_does_is_not_told_of_a_mistake(capsys, recwarn):
    @exercises.checker(6, hint="h")
    def check_calls(attempt):
        exercises.same(attempt(2.0), 4.0, "For x = 2", atol=1e-12)

    check_calls.prove(lambda x: x * x, {"as good, but refused elsewhere": lambda x: x * x + 1e-9, "double root": lambda x: np.nan * x})
    capsys.readouterr()
    assert "mistake" not in hint_of(check_calls, lambda x: np.float32(x * x + 1e-6), capsys)
    with warnings.catch_warnings(action="error"):
        assert "answers like this mistake: double root." in hint_of(check_calls, lambda x: float("nan"), capsys)
    assert not recwarn.list
