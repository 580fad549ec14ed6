"""The rules of exercises: a statement, a hidden checker, a green stub, a folded solution that proves the checker."""

import re
from collections.abc import Iterator

from lib.chapter.notebook import Chapter, Exercise, without_code

FEWEST, MOST = 3, 5
ON_PAPER = "(on paper)"

_HEADING = re.compile(r"^#{1,3} ", re.M)
_EXERCISE_HEADING = re.compile(r"^#+ *Exercise\b.*$", re.M)


def exercises(chapter: Chapter) -> Iterator[str]:
    found = chapter.exercises
    for i in chapter.indices("markdown"):
        headings = len(_EXERCISE_HEADING.findall(chapter.source(i)))
        if headings > sum(exercise.cell == i for exercise in found):
            yield f"{chapter.place(i)}: write the heading as '### Exercise 1 ★★ · Title · 15 minutes'"
    if not FEWEST <= len(found) <= MOST:
        yield f"exercises: {len(found)}; a chapter has {FEWEST} to {MOST}"
    if [exercise.number for exercise in found] != list(range(1, len(found) + 1)):
        yield f"exercises are numbered {[exercise.number for exercise in found]}; number them 1, 2, … in order"
    on_paper = sum(exercise.title.endswith(ON_PAPER) for exercise in found)
    if on_paper != 1:
        yield f"exercises on paper: {on_paper}; exactly one exercise's title ends with '{ON_PAPER}'"
    for exercise in found:
        for problem in _exercise(chapter, exercise):
            yield f"{chapter.place(exercise.cell)}: {problem}"


def _exercise(chapter: Chapter, exercise: Exercise) -> Iterator[str]:
    """What one exercise lacks."""
    n = exercise.number
    statement, prose, code = section(chapter, exercise)
    checker = _titled(chapter, code, f"Checker for exercise {n}")
    solution = _titled(chapter, code, f"Solution to exercise {n}")
    stub = next((i for i in code if not chapter.is_folded(i)), None)

    if not statement.strip():
        yield "the statement is missing; say below the heading what to write, with inputs, outputs and shapes"
    if checker is None:
        yield f"no checker; add a cell tagged hide-cell whose first line is '#@title Checker for exercise {n}'"
    if stub is None:
        yield "no stub; add a visible cell with ... in place of the answer that calls the checker"
    else:
        line = next((s for s in chapter.output_text(stub).splitlines() if s.startswith(f"Exercise {n}:")), "")
        if "..." not in chapter.source(stub) or "not attempted" not in line:
            yield (
                f"the stub in {chapter.place(stub)} must contain ... and its stored output a line "
                f"'Exercise {n}: not attempted'; call the checker on the untouched stub and run the chapter"
            )
    if solution is None:
        yield f"no solution; add a cell tagged hide-cell whose first line is '#@title Solution to exercise {n}'"
    else:
        shown = chapter.output_text(solution)
        if f"Exercise {n}: solution accepted" not in shown or not re.search(r"rejected: \S", shown):
            yield (
                f"the solution in {chapter.place(solution)} must show 'Exercise {n}: solution accepted' and "
                "'rejected: …'; prove the checker with the solution and the commonest wrong answer"
            )
    order = [i for i in (checker, stub, solution) if i is not None]
    if order != sorted(order):
        yield "the cells are out of order; put the checker first, then the stub, then the solution"
    if exercise.title.endswith(ON_PAPER) and "<details>" not in prose:
        yield "the written solution is missing; fold it into <details> in a Markdown cell"
    for i in code:
        if any(check.cell == i for check in chapter.checks):
            yield f"{chapter.place(i)} prints a claim line; exercises are marked by their checkers, not by claims"


def section(chapter: Chapter, exercise: Exercise) -> tuple[str, str, list[int]]:
    """An exercise's statement, all its prose, and its code cells: what stands between its heading and the next."""
    pieces, code = [], []
    for i in range(exercise.cell, len(chapter.cells)):
        if chapter.cells[i]["cell_type"] == "code":
            code.append(i)
            continue
        source = without_code(chapter.source(i))
        if i == exercise.cell:
            source = source.split(f"### Exercise {exercise.number} ", 1)[1].partition("\n")[2]
        here, *after = _HEADING.split(source, 1)
        pieces.append(here)
        if after:
            break
    return pieces[0], "\n".join(pieces), code


def _titled(chapter: Chapter, cells: list[int], title: str) -> int | None:
    """The folded cell with this title."""
    return next((i for i in cells if chapter.is_folded(i) and chapter.title(i) == title), None)
