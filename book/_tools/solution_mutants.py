"""Hand slightly wrong solutions to the checkers of exercises, and see which of them a checker accepts.

    python book/_tools/solution_mutants.py [--chapter "SLUG SLUG"] [--count 5] [--seed 0] [--jobs CORES]

A wrong solution is the chapter's own with one edit, drawn as for `lib`: every place has the same chance. A chapter runs
once, without its figures; then each edited solution is an attempt at its exercise, in a process of its own. The checker
refuses it by the answer, because it raises, or because it is not done in five times the solution's time. Edits that are
accepted and that no_difference_in_solutions.yml lists do not survive. Results are kept in _build/mutants/solutions/.
"""

import argparse
import ast
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat.v4 as v4
from edits import Edit, draw, sites
from mutants import FOLDER, MOST_SECONDS, without_figures
from nbformat import NotebookNode
from outcomes import LEAST, LEAST_OF_MODULE, change, listed, place
from runs import Run, describe, read, results, table
from toolbox import chapters_named, in_plain_words, require_kernel

KEPT = FOLDER / "solutions"
ATTEMPTS = Path(__file__).with_name("attempts.py")
NO_DIFFERENCE = Path(__file__).with_name("no_difference_in_solutions.yml")
ANSWER, ERROR, TIME, SAME, ACCEPTED = VERDICTS = ("by the answer", "by an error", "by time", "no difference", "survive")


@dataclass(frozen=True)
class Exercise:
    """An exercise: the names of its checker and its solution, and the text of the functions that the solution is made of."""

    slug: str
    number: int
    checker: str
    solution: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.slug} exercise {self.number}"

    def describe(self, edit: Edit) -> str:
        return f"{self.name} · {place(self.source, edit)}: {change(self.source, edit)}"


def exercises_of(slug: str, notebook: NotebookNode) -> list[Exercise]:
    """A chapter's exercises in order: what `prove` is called with, and the number that the checker was made with."""
    numbers, found = {}, []
    for cell in notebook.cells:
        tree = ast.parse(cell.source if cell.cell_type == "code" else "")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                made = [one for one in node.decorator_list if isinstance(one, ast.Call) and one.args]
                numbers |= {node.name: one.args[0].value for one in made if ast.unparse(one.func) == "exercises.checker"}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "prove":
                checker, solution = ast.unparse(node.func.value), ast.unparse(node.args[0])
                found.append(Exercise(slug, numbers[checker], checker, solution, functions(cell.source, solution)))
    return found


def functions(source: str, name: str) -> str:
    """The function of this name and those beside it that it uses, as they stand in a source; "" if it stands elsewhere."""
    defined = {node.name: node for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    used, left = set(), [name]
    while left:
        one = left.pop()
        if one in defined and one not in used:
            used.add(one)
            left += [node.id for node in ast.walk(defined[one]) if isinstance(node, ast.Name)]
    lines, spans = source.split("\n"), []
    for node in (defined[one] for one in defined if one in used):
        first = min(part.lineno for part in (node, *node.decorator_list))
        spans.append("\n".join(lines[first - 1 : node.end_lineno]))
    return "\n\n\n".join(spans)


class Draw:
    """The edits that are drawn of each exercise of a chapter, and the run that tries them."""

    def __init__(self, path: Path, count: int, seed: int, kept: Path = KEPT, harmless: Path = NO_DIFFERENCE):
        self.slug, notebook = path.stem, without_figures(read(path))
        self.edits = {
            exercise: draw(sites(exercise.source), count, f"{seed} {exercise.name}")
            for exercise in exercises_of(self.slug, notebook)
        }
        lists = {exercise: listed(exercise.name, exercise.source, harmless) for exercise in self.edits}
        self.same = {exercise: same for exercise, (same, _) in lists.items()}
        self.out_of_date = [entry for _, old in lists.values() for entry in old]
        notebook.cells += [v4.new_code_cell(source) for source in self.cells()]
        self.run = Run(kept, notebook, path.parent, seconds=MOST_SECONDS)
        self.run.file = kept / f"{self.slug}-{self.run.key[:16]}.json"

    def cells(self) -> list[str]:
        """What the kernel runs after the chapter: a cell that defines `mark`, then one for each exercise."""
        marked = [
            f"_attempts['mark']({e.checker}, {e.solution!r}, {[e.source, *(edit.of(e.source) for edit in edits)]!r}, globals())"
            for e, edits in self.edits.items()
            if edits
        ]
        return [f"_attempts = {{}}\nexec({ATTEMPTS.read_text(encoding='utf-8')!r}, _attempts)", *marked]

    def outcomes(self, result: dict) -> tuple[list[tuple[Exercise, Edit, str]], list[str]]:
        """Each edit with its verdict, after a run; and what is wrong without an edit, or with the list."""
        if result["error"]:
            return [], [f"{self.slug} fails without an edit: {describe(result['error'])}"]
        found, wrong = [], []
        asked = [exercise for exercise, edits in self.edits.items() if edits]
        for exercise, printed in zip(asked, result["printed"][-len(asked) :] if asked else [], strict=True):
            right, *answers = [json.loads(line) for line in printed.splitlines()]
            if verdict(right) != ACCEPTED:
                wrong.append(f"{exercise.name}: the checker refuses the solution: {right}")
                continue
            for edit, answer in zip(self.edits[exercise], answers, strict=True):
                kind, is_listed = verdict(answer), edit in self.same[exercise]
                if is_listed and kind != ACCEPTED:
                    wrong.append(f"{exercise.describe(edit)}: is listed as making no difference, but refused: {answer}")
                found.append((exercise, edit, SAME if is_listed and kind == ACCEPTED else kind))
        return found, wrong


def verdict(said: str | None) -> str:
    """What a checker's words, or its silence, make of an attempt."""
    if said is None:
        return TIME
    if said.rstrip().endswith("✓ right"):
        return ACCEPTED
    return ERROR if "Your code raised" in said else ANSWER


def report(draws: list[Draw], outcomes: dict[str, list[tuple[Exercise, Edit, str]]]) -> str:
    """The table by chapter, the survivors, the chapters with too few refused, and entries of the list that fit nothing."""
    rows, low, survivors = [], [], []
    for one in draws:
        found = outcomes[one.slug]
        counts = [sum(kind == of_edit for *_, of_edit in found) for kind in VERDICTS]
        rows.append([len(one.edits), sum(not edits for edits in one.edits.values()), len(found), sum(counts[:3]), *counts])
        if rows[-1][3] < LEAST_OF_MODULE * len(found):
            low.append(one.slug)
        survivors += [exercise.describe(edit) for exercise, edit, kind in found if kind == ACCEPTED]
    rows.append([sum(column) for column in zip(*rows, strict=True)])
    head = ["chapter", "exercises", "not edited", "edits", "refused", "%", *VERDICTS]
    names = [one.slug for one in draws] + ["all"]
    shares = [f"{100 * row[3] / row[2]:.0f}" if row[2] else "" for row in rows]
    cells = [[n, *map(str, row[:4]), share, *map(str, row[4:])] for n, row, share in zip(names, rows, shares, strict=True)]
    lines = [table(head, cells), "", f"Survivors: {len(survivors)}", *(f"- {survivor}" for survivor in survivors)]
    if low:
        lines.append(f"Fewer than {LEAST_OF_MODULE:.0%} are refused in: {', '.join(low)}")
    if rows[-1][3] < LEAST * rows[-1][2]:
        lines.append(f"Fewer than {LEAST:.0%} are refused in all.")
    if old := [entry for one in draws for entry in one.out_of_date]:
        lines += ["Listed as making no difference, but no such line stands there now:", *(f"- {entry}" for entry in old)]
    return "\n".join(lines)


@in_plain_words
def main() -> int:
    parser = argparse.ArgumentParser(description="Hand slightly wrong solutions to the checkers of exercises.")
    parser.add_argument("--chapter", default="", help="only the exercises of the chapters with these slugs")
    parser.add_argument("--count", type=int, default=5, help="edits of each solution")
    parser.add_argument("--seed", type=int, default=0, help="the draw's seed")
    parser.add_argument("--jobs", type=int, help="kernels at once: as many as there are cores")
    arguments = parser.parse_args()
    require_kernel()
    draws = [Draw(path, arguments.count, arguments.seed) for path in chapters_named(arguments.chapter)]
    by_run, outcomes, wrong = {one.run: one for one in draws}, {}, []
    for done, (run, result) in enumerate(results(by_run, arguments.jobs), 1):
        one = by_run[run]
        outcomes[one.slug], failed = one.outcomes(result)
        wrong += failed
        accepted = [exercise.describe(edit) for exercise, edit, kind in outcomes[one.slug] if kind == ACCEPTED]
        print(f"{done} of {len(draws)} · {one.slug}: {len(accepted)} of {len(outcomes[one.slug])} edits SURVIVE", flush=True)
        print("".join(f"  {survivor}\n" for survivor in accepted), end="", flush=True)
    print(f"\nEdits drawn with seed {arguments.seed}\n\n{report(draws, outcomes)}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
