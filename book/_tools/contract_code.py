"""The contract of code cells: plain Python, short where it shows, folded in one way, nothing exempt that verifies."""

import ast
import re
from collections.abc import Iterator

from chapters import EXEMPT, FOLDED, Chapter

MOST_LINES = 25
TAGS = FOLDED | {EXEMPT}
METADATA = frozenset({"tags", "jupyter", "cellView", "mystnb"})

_NBVAL_COMMENT = re.compile(r"^\s*#+\s*(NBVAL_|PYTEST_VALIDATE_)\w+", re.M)
_EXERCISE_LINE = re.compile(r"^Exercise \d+:", re.M)
_INSTALLS = re.compile(r"\bpip3? install\b|\bconda install\b")


def violations(chapter: Chapter) -> Iterator[str]:
    for i, cell in enumerate(chapter.cells):
        tags = cell["metadata"].get("tags", [])
        for tag in sorted(set(tags)):
            if tags.count(tag) > 1:
                yield f"{chapter.place(i)}: the cell's tag {tag!r} is repeated; keep one"
            if cell["cell_type"] != "code" or tag not in TAGS:
                known = ", ".join(sorted(TAGS))
                yield f"{chapter.place(i)}: remove the cell's tag {tag!r}; only code cells have tags, and only {known}"
        for key in sorted(set(cell["metadata"]) - METADATA):
            yield f"{chapter.place(i)}: remove the cell's metadata {key!r} (make run does it)"
        if cell["cell_type"] == "code":
            yield from (f"{chapter.place(i)}: {problem}" for problem in _cell(chapter, i))
    yield from _set_up(chapter)


def visible_lines(chapter: Chapter) -> dict[int, int]:
    """Lines that are not blank of every code cell that a reader sees unfolded."""
    return {
        i: sum(bool(line.strip()) for line in chapter.source(i).splitlines())
        for i in chapter.indices("code")
        if not FOLDED & chapter.tags(i)
    }


def _cell(chapter: Chapter, i: int) -> Iterator[str]:
    source, metadata = chapter.source(i), chapter.cells[i]["metadata"]
    if not source.strip():
        yield "the cell is empty; remove it"
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        yield f"not plain Python (line {error.lineno}); no magics, no shell commands"
        tree = ast.Module([], [])
    if _INSTALLS.search(source):
        yield "installs packages; notebooks hold no installation code, the build adds it to the standalone ones"
    if marker := _NBVAL_COMMENT.search(source):
        yield f"remove the comment {marker[0].strip()!r}; a cell is exempt only by the tag {EXEMPT}"
    lines = visible_lines(chapter).get(i, 0)
    if lines > MOST_LINES:
        yield f"{lines} lines; a visible cell has at most {MOST_LINES}: split it or move its tools to lib"
    folded = (
        bool(FOLDED & chapter.tags(i)),
        metadata.get("jupyter") == {"source_hidden": True},
        metadata.get("cellView") == "form",
    )
    if any(folded) and not all(folded) or "jupyter" in metadata and not folded[1]:
        yield "half folded; give it the tag hide-cell, jupyter.source_hidden and cellView 'form', or none of them"
    if EXEMPT in chapter.tags(i) and _verifies(chapter, i, tree):
        yield f"an exempt cell verifies; remove {EXEMPT} or move the claims and checkers to a cell of their own"


def _verifies(chapter: Chapter, i: int, tree: ast.Module) -> bool:
    calls = {node.func.value.id for node in ast.walk(tree) if _is_method_call(node)}
    calls_prover = any(_is_method_call(node) and node.func.attr == "prove" for node in ast.walk(tree))
    output = chapter.output_text(i)
    return bool("claims" in calls or calls_prover or "✓ (" in output or _EXERCISE_LINE.search(output))


def _is_method_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    )


def _set_up(chapter: Chapter) -> Iterator[str]:
    """One cell, the first, imports and seeds."""
    code = chapter.indices("code")
    if not code:
        yield "no code cell; begin with the set-up cell: imports and seed"
        return
    if "seed(" not in chapter.source(code[0]):
        yield f"{chapter.place(code[0])}: the first code cell is the set-up; it calls lib.course.training.seed"
    for i in code[1:]:
        if re.search(r"^(import|from) ", chapter.source(i), re.M):
            yield f"{chapter.place(i)}: imports belong in the set-up cell, {chapter.place(code[0])}"
