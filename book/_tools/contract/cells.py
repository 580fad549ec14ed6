"""The rules of code cells: plain Python, short where it shows, folded in one way, nothing exempt that verifies."""

import ast
import re
from collections.abc import Iterator

from lib.chapter.notebook import EXEMPT, FOLDED, Chapter
from lib.chapter.reading import visible_lines
from lib.course.line import parse

from .code import calls_claims, parsed

MOST_LINES = 25
FOLD = "a tag (hide-input or hide-cell), jupyter.source_hidden true and cellView 'form'"
TAGS = FOLDED | {EXEMPT}
METADATA = frozenset({"tags", "jupyter", "cellView", "mystnb"})

_NBVAL_COMMENT = re.compile(r"^\s*#+\s*(NBVAL_|PYTEST_VALIDATE_)\w+", re.M)
_EXERCISE_LINE = re.compile(r"^Exercise \d+:", re.M)
_INSTALLS = re.compile(r"\bpip3? install\b|\bconda install\b")


def cells(chapter: Chapter) -> Iterator[str]:
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


def _cell(chapter: Chapter, i: int) -> Iterator[str]:
    source, metadata = chapter.source(i), chapter.cells[i]["metadata"]
    if not source.strip():
        yield "the cell is empty; remove it"
    try:
        ast.parse(source)
    except SyntaxError as error:
        yield f"not plain Python (line {error.lineno}); no magics, no shell commands"
    if _INSTALLS.search(source):
        yield "installs packages; notebooks hold no installation code, the build adds it to the standalone ones"
    if marker := _NBVAL_COMMENT.search(source):
        yield f"remove the comment {marker[0].strip()!r}; a cell is exempt only by the tag {EXEMPT}"
    lines = visible_lines(chapter, i)
    if lines > MOST_LINES:
        yield f"{lines} lines; a visible cell has at most {MOST_LINES}: split it or move its tools to lib"
    folded = (
        chapter.is_folded(i),
        metadata.get("jupyter") == {"source_hidden": True},
        metadata.get("cellView") == "form",
    )
    if any(folded) and not all(folded) or "jupyter" in metadata and not folded[1]:
        yield f"half folded; give it {FOLD}, or none of them"
    if EXEMPT in chapter.tags(i) and _verifies(chapter, i, parsed(source)):
        yield f"an exempt cell verifies; remove {EXEMPT} or move the claims and checkers to a cell of their own"


def _verifies(chapter: Chapter, i: int, tree: ast.Module) -> bool:
    proves = any(isinstance(node, ast.Attribute) and node.attr == "prove" for node in ast.walk(tree))
    output = chapter.output_text(i)
    return proves or calls_claims(tree) or any(parse(output)) or bool(_EXERCISE_LINE.search(output))


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
