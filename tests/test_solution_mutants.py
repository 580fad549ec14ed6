"""Edited solutions of exercises: which are drawn, what the checkers make of them, what is listed and reported."""

import json
import time
from itertools import cycle

import nbformat
import nbformat.v4 as v4
import pytest
import yaml
from attempts import in_child, mark
from outcomes import listed
from runs import read
from solution_mutants import (
    ACCEPTED, ANSWER, ERROR, NO_DIFFERENCE, SAME, TIME, Draw, exercises_of, functions, report, verdict,
)  # fmt: skip
from toolbox import chapter_paths

from lib.course import exercises

CELLS = [
    "from lib.course import exercises\nLIST = [3, 4]",
    """@exercises.checker(1, hint="x times x")
def check_square(attempt):
    exercises.same(attempt(2), 4, "For x = 2", atol=0)""",
    "def square(x):\n    ...\n\ncheck_square(square)",
    """def half(x):
    return x * 1

def square_solution(x):
    return half(x) * x

def doubled(x):
    return x + x + 1

check_square.prove(square_solution, {"doubled": doubled})""",
    """@exercises.checker(2, hint="add")
def check_sum(attempt):
    exercises.same(attempt(LIST), 7, "For a list", atol=0)""",
    """def sum_solution(numbers):
    total = 0
    while numbers:
        total += numbers.pop()
    return total

check_sum.prove(sum_solution, {"first": lambda numbers: numbers[0]})""",
    """@exercises.checker(3, hint="as it comes")
def check_same(attempt):
    exercises.same(attempt(1), 1, "For 1", atol=0)

check_same.prove(lambda x: x, {"one more": lambda x: x + 1})""",
]


@pytest.fixture
def chapter(tmp_path):
    path = tmp_path / "sums.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in CELLS]), path)
    return path


@pytest.fixture
def draw(chapter, tmp_path):
    entry = {"in": "half", "edit": "return x * 1 → return x / 1", "why": "one"}
    listed = tmp_path / "listed.yml"
    listed.write_text(json.dumps({"sums exercise 1": [entry], "sums exercise 2": [entry]}))
    return Draw(chapter, 100, 0, tmp_path / "kept", listed)


def test_an_exercise_is_its_solution_with_the_functions_that_it_uses(chapter):
    first, second, third = exercises_of("sums", read(chapter))
    assert (first.name, first.checker, first.solution) == ("sums exercise 1", "check_square", "square_solution")
    assert "def half" in first.source and "def square_solution" in first.source and "doubled" not in first.source
    assert second.source == CELLS[5].split("\n\n")[0]
    assert third.source == ""
    assert functions("x = 1\n@once\ndef é():\n    pass", "é") == "@once\ndef é():\n    pass"


def test_a_draw_depends_on_its_seed_and_knows_what_is_listed(chapter, draw):
    first, second, third = draw.edits
    assert [first.describe(edit) for edit in draw.same[first]] == ["sums exercise 1 · half: return x * 1 → return x / 1"]
    assert not draw.same[second] and not draw.edits[third]
    assert draw.out_of_date == ["sums exercise 2 · half: return x * 1 → return x / 1"]
    assert Draw(chapter, 2, 0).edits == Draw(chapter, 2, 0).edits != Draw(chapter, 2, 1).edits


def test_each_edit_meets_its_checker_in_the_chapter_that_ran(draw, tmp_path):
    outcomes, wrong = draw.outcomes(draw.run.make())
    assert not wrong
    assert draw.run.stored() and draw.run.file.parent == tmp_path / "kept"
    found = {exercise.describe(edit).split(" · ")[1]: verdict for exercise, edit, verdict in outcomes}
    assert found["square_solution: return half(x) * x → return half(x) / x"] == ANSWER
    assert found["half: return x * 1 → return x / 1"] == SAME
    assert found["sum_solution: total = 0 → total = 1"] == ANSWER
    text = report([draw], {"sums": outcomes})
    assert "Survivors: 0" in text and "| sums    | 3         | 1          |" in text
    assert text.endswith("- sums exercise 2 · half: return x * 1 → return x / 1")


def test_an_attempt_that_raises_hangs_or_ends_its_process_is_refused(capfd):
    @exercises.checker(1, hint="…")
    def check(attempt):
        exercises.same(attempt(LIMIT), 3, "For 3", atol=0)

    LIMIT, LOUD = 3, "import os; os.write(1, b'past Python'); return x"
    bodies = ("return x", "return 3", "return 1 / 0", "return -x", "import os; os._exit(0)", "undefined", "...", "return n", LOUD)
    sources = [f"def answer(x):\n    {body}" for body in bodies] + ["def answer(x=y):\n    return x"]
    mark(check, "answer", sources, {"n": 3})
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    wanted = [ACCEPTED, ACCEPTED, ERROR, ANSWER, TIME, ERROR, ANSWER, ACCEPTED, ACCEPTED, ERROR]
    assert [verdict(one) for one in said] == wanted
    for endless in (lambda: time.sleep(60), lambda: sum(cycle([0]))):
        assert in_child(endless, 0.05)[0] is None


def test_a_chapter_that_fails_a_solution_that_is_refused_and_an_entry_that_is_wrong_are_told(draw):
    failed = {"error": {"cell": 2, "kind": "ClaimFailed", "message": "(1)"}, "printed": []}
    assert draw.outcomes(failed) == ([], ["sums fails without an edit: cell 2: ClaimFailed: (1)"])
    first, second, _ = draw.edits
    refused, accepted = (json.dumps(f"Exercise 1: {words}") for words in ("not yet.", "✓ right\n"))
    all_but_the_solution = "\n".join([accepted] + [refused] * len(draw.edits[first]))
    none = "\n".join([refused] * (1 + len(draw.edits[second])))
    outcomes, wrong = draw.outcomes({"error": None, "printed": ["chapter", all_but_the_solution, none]})
    assert {exercise for exercise, *_ in outcomes} == {first} and {kind for *_, kind in outcomes} == {ANSWER}
    assert [line.split(": ")[-2:] for line in wrong] == [["Exercise 1", "not yet."], ["Exercise 1", "not yet."]]
    assert "half: return x * 1 → return x / 1: is listed" in wrong[0] and "refuses the solution" in wrong[1]
    every = "\n".join([accepted] * (1 + len(draw.edits[second])))
    outcomes, _ = draw.outcomes({"error": None, "printed": ["chapter", all_but_the_solution, every]})
    text = report([draw], {"sums": outcomes})
    assert "Fewer than 80% are refused in: sums" in text and "sums exercise 2 · sum_solution: total = 0 → total = 1" in text


def test_every_entry_of_the_list_fits_a_solution():
    listed_now = yaml.safe_load(NO_DIFFERENCE.read_text(encoding="utf-8")) or {}
    known = {one.name: one for path in chapter_paths() for one in exercises_of(path.stem, read(path))}
    assert not set(listed_now) - set(known)
    assert not [entry for name in listed_now for entry in listed(name, known[name].source, NO_DIFFERENCE)[1]]
