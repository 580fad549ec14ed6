"""Break chapters in one place at a time, at random, and see whether a claim, a checker or an error notices.

    python book/_tools/mutants.py [--chapter "SLUG SLUG"] [--count 30] [--seed 0] [--jobs CORES]

The edits are drawn from a chapter's method: open code cells without the stubs of exercises, and functions that folded
cells define for them. Every place has the same chance. An edit is caught when a cell of the edited notebook raises, when
a cell whose outputs are compared prints something else, or when the run takes five times as long as the unedited one.
Results are kept in _build/mutants/.
"""

import argparse
import ast
import re
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from edits import Edit, draw, sites
from nbformat import NotebookNode
from runs import OUT_OF_TIME, Run, describe, read, results, table
from toolbox import ROOT, chapters_named, in_plain_words, require_kernel

FOLDER = ROOT / "_build" / "mutants"
FOLDED = {"hide-cell", "hide-input"}
MOST_SECONDS, SLOWER = 600, 5  # for the unedited run, and how many times its time an edited one may take
CLAIM_ERRORS, OTHER_OUTPUT = ("ClaimFailed", "UselessCheck"), "OtherOutput"
_NO_METHOD = re.compile(r"#@title (Check|Checker|Solution|Figure)\b")


@dataclass(frozen=True)
class Mutant:
    """One edit of the code cell at position `cell`."""

    cell: int
    edit: Edit

    def of(self, notebook: NotebookNode) -> NotebookNode:
        """A copy of the notebook with the edit."""
        edited = deepcopy(notebook)
        edited.cells[self.cell].source = self.edit.of(notebook.cells[self.cell].source)
        return edited

    def describe(self, notebook: NotebookNode) -> str:
        line, before, after = self.edit.lines(notebook.cells[self.cell].source)
        return f"cell {self.cell + 1} · line {line}: {before} → {after}"


def method_sites(notebook: NotebookNode) -> list[list[Mutant]]:
    """The places of a chapter's method, each with the edits that can be made there."""
    found = []
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or _is_stub(cell.source):
            continue
        folded = bool(FOLDED & set(cell.metadata.get("tags", [])))
        if not (folded and _NO_METHOD.match(cell.source)):
            found += [[Mutant(i, edit) for edit in edits] for edits in sites(cell.source, functions_only=folded)]
    return found


def drawn(notebook: NotebookNode, count: int, seed: str) -> list[Mutant]:
    """`count` different mutants, or all there are."""
    return draw(method_sites(notebook), count, seed)


def without_figures(notebook: NotebookNode) -> NotebookNode:
    """The notebook without its folded drawing cells, except those that define a name which a later cell reads."""
    short, read = deepcopy(notebook), set()
    for cell in reversed(short.cells):
        if cell.cell_type != "code":
            continue
        names = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, (ast.Name, ast.FunctionDef))]
        bound = {n.name if isinstance(n, ast.FunctionDef) else n.id for n in names if not _reads(n)}
        is_figure = "hide-input" in cell.metadata.get("tags", []) and cell.source.startswith("#@title Figure")
        if is_figure and not bound & read:
            cell.source = ""
        else:
            read |= {n.id for n in names if _reads(n)}
    return short


def _reads(node: ast.Name | ast.FunctionDef) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def _is_stub(source: str) -> bool:
    """Whether a cell has a `...` in place of an answer, not merely in an index."""
    tree = ast.parse(source)
    indices = [node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    in_index = {id(inner) for index in indices for inner in ast.walk(index)}
    return any(isinstance(n, ast.Constant) and n.value is ... and id(n) not in in_index for n in ast.walk(tree))


def new_run(path: Path, notebook: NotebookNode, seconds: float) -> Run:
    """A run of a chapter's notebook, edited or not; its file is named by the contents, so that other draws find it."""
    run = Run(FOLDER, notebook, path.parent, seconds=seconds)
    run.file = FOLDER / f"{path.stem}-{run.key[:16]}.json"
    return run


def noticed(result: dict, unedited: dict) -> dict | None:
    """The error that an edit caused, or what it changed in a compared output; None if nothing notices it."""
    if result["error"]:
        return result["error"]
    for i, (new, old) in enumerate(zip(result["printed"], unedited["printed"], strict=True), 1):
        if new != old:
            return {"cell": i, "kind": OTHER_OUTPUT, "message": new}
    return None


def report(outcomes: dict[str, list[tuple[str, dict | None]]]) -> str:
    """The table by chapter, and the survivors; an outcome is an edit's description and its error, or None."""
    rows, survivors = [], []
    for slug, of_chapter in outcomes.items():
        errors = [error for _, error in of_chapter if error]
        by_claim = sum(error["kind"] in CLAIM_ERRORS for error in errors)
        by_output = sum(error["kind"] == OTHER_OUTPUT for error in errors)
        by_time = sum(error["kind"] == OUT_OF_TIME for error in errors)
        by_error = len(errors) - by_claim - by_output - by_time
        counts = (len(of_chapter), len(errors), by_claim, by_output, by_error, by_time)
        rows.append([slug, *map(str, counts)])
        survivors += [f"{slug} · {description}" for description, error in of_chapter if not error]
    total = [str(sum(int(row[i]) for row in rows)) for i in range(1, 7)]
    head = ["chapter", "edits", "caught", "by a claim", "by an output", "by another error", "by time"]
    lines = [table(head, [*rows, ["all", *total]]), "", f"Survivors: {len(survivors)}"]
    return "\n".join(lines + [f"- {survivor}" for survivor in survivors])


@in_plain_words
def main() -> int:
    parser = argparse.ArgumentParser(description="Break chapters in one place at a time and see what notices.")
    parser.add_argument("--chapter", default="", help="only the chapters with these slugs")
    parser.add_argument("--count", type=int, help="edits of each chapter: 30 if some are named, 3 if all are broken")
    parser.add_argument("--seed", type=int, default=0, help="the draw's seed")
    parser.add_argument("--jobs", type=int, help="kernels at once: as many as there are cores")
    arguments = parser.parse_args()
    require_kernel()
    count = arguments.count or (30 if arguments.chapter else 3)
    notebooks = {path: without_figures(read(path)) for path in chapters_named(arguments.chapter)}
    unedited = {new_run(path, notebook, MOST_SECONDS): path for path, notebook in notebooks.items()}
    right, broken = {}, []
    for run, result in results(unedited, arguments.jobs):
        path = unedited[run]
        if result["error"]:
            broken.append(f"{path.stem} fails without an edit: {describe(result['error'])}")
            del notebooks[path]
        else:
            right[path.stem] = result
    runs = {}
    for path, notebook in notebooks.items():
        for mutant in drawn(notebook, count, f"{arguments.seed} {path.stem}"):
            seconds = SLOWER * right[path.stem]["seconds"]
            runs[new_run(path, mutant.of(notebook), seconds)] = (path.stem, mutant.describe(notebook))
    found = {}
    for done, (run, result) in enumerate(results(runs, arguments.jobs), 1):
        found[run] = noticed(result, right[runs[run][0]])
        verdict = "caught" if found[run] else "SURVIVES"
        print(f"{done} of {len(runs)}: {verdict}: {' · '.join(runs[run])}", flush=True)
    outcomes = {path.stem: [] for path in notebooks}
    for run, (slug, edit) in runs.items():
        outcomes[slug].append((edit, found[run]))
    print(f"\nEdits drawn with seed {arguments.seed}\n\n{report(outcomes)}")
    print("\n".join(broken))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
