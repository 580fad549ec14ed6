"""The rules of roles: the method stands open, what proves or draws it is folded, and neither leans on the other."""

import ast
import re
from collections.abc import Iterator

from lib.chapter.notebook import Chapter

from .cells import MOST_LINES
from .code import CodeCell, code_cells, draws

TITLES = {
    "set-up": "Set-up: imports and seed",
    "check": "Check of (5): the idea",
    "drawing": "Figure: what it shows",
}
_BEGINNINGS = {"set-up": r"Set-up: \S", "check": r"Check of (.+?): \S", "drawing": r"(Figure|Table): \S"}
_NUMBER = re.compile(r"\((\d+)\)")


def roles(chapter: Chapter) -> Iterator[str]:
    found = code_cells(chapter)
    for cell in found:
        for problem in (*_fold(chapter, cell), *_second_language(cell)):
            yield f"{chapter.place(cell.index)}: {problem}"
    yield from _borrowed_names(chapter, found)
    yield from _parameters_for_checks(chapter, found)
    yield from _slips(chapter, found)


def _fold(chapter: Chapter, cell: CodeCell) -> Iterator[str]:
    title, folded = chapter.title(cell.index), chapter.is_folded(cell.index)
    if cell.role in TITLES:
        if "hide-input" not in chapter.tags(cell.index):
            yield (
                f"a {cell.role} stands open or hides its output; fold it with the tag hide-input, "
                "jupyter.source_hidden true and cellView 'form'"
            )
        if not re.match(_BEGINNINGS[cell.role], title):
            yield f"a {cell.role} needs a title; make its first line '#@title {TITLES[cell.role]}'"
    elif folded and cell.role == "method":
        yield "only set-up, checks, drawings and exercises are folded; open the method, it is the page's text in code"
    elif folded and not title:
        yield "a folded cell has no title; make its first line '#@title …' and say what it holds"
    if cell.role == "check":
        yield from _check(chapter, cell, title)


def _check(chapter: Chapter, cell: CodeCell, title: str) -> Iterator[str]:
    printed = sorted({check.number for check in chapter.checks if check.cell == cell.index})
    named = re.match(_BEGINNINGS["check"], title)
    if printed and named and named[1] != _listed(printed):
        yield f"the title names {named[1]} and the cell prints {_listed(printed)}; write '#@title Check of {_listed(printed)}: …'"
    if draws(chapter, cell.index, cell.tree):
        yield "a check draws; draw in a folded cell of its own"
    lines = sum(bool(line.strip()) for line in chapter.source(cell.index).splitlines()) - bool(title)
    if lines > MOST_LINES:
        yield f"{lines} lines; a check has at most {MOST_LINES}: split it or move its tools to lib"


def _listed(numbers: list[int]) -> str:
    """(5), (6) and (7)."""
    *first, last = [f"({number})" for number in numbers]
    return f"{', '.join(first)} and {last}" if first else last


def _second_language(cell: CodeCell) -> Iterator[str]:
    if cell.is_exercise:
        return
    for node in ast.walk(cell.tree):
        if isinstance(node, ast.Assert) or isinstance(node, ast.Attribute) and node.attr == "testing":
            words = "assert" if isinstance(node, ast.Assert) else ast.unparse(node)
            yield f"{words} is a second language of checks that the ledger never sees: make it a claim's check or remove it"


def _borrowed_names(chapter: Chapter, found: list[CodeCell]) -> Iterator[str]:
    """Names that a cell takes from a check, a drawing or another exercise."""
    home: dict[str, CodeCell] = {}
    for cell in found:
        defined, needed = cell.names
        for name in sorted(needed & set(home)):
            source = home[name]
            own_exercise = source.role == cell.role and cell.is_exercise
            if source.role not in ("set-up", "method") and not own_exercise:
                yield (
                    f"{chapter.place(cell.index)}: uses {name}, which the {source.role} in {chapter.place(source.index)} "
                    "defines; define it in a method cell, or anew in the cell that uses it"
                )
        home |= dict.fromkeys(defined, cell)


def _parameters_for_checks(chapter: Chapter, found: list[CodeCell]) -> Iterator[str]:
    """Parameters with a default, of functions in method cells, that only checks and exercises pass."""
    proving = [node for cell in found if cell.is_exercise or cell.role == "check" for node in ast.walk(cell.tree)]
    on_page = [node for cell in found if not cell.is_exercise and cell.role != "check" for node in ast.walk(cell.tree)]
    for cell in found:
        if cell.role != "method":
            continue
        for name, arguments in _functions(cell.tree):
            for parameter, position in _optional(arguments):
                if _passes(proving, name, parameter, position) and not _passes(on_page, name, parameter, position):
                    yield (
                        f"{chapter.place(cell.index)}: only checks pass the parameter {parameter!r} of {name}; remove it "
                        "and make the mistake with claims.slip"
                    )
            if arguments.kwarg and arguments.kwarg.arg == "slip":
                yield f"{chapter.place(cell.index)}: remove **slip from {name}; make the mistake with claims.slip"


def _slips(chapter: Chapter, found: list[CodeCell]) -> Iterator[str]:
    """Slips of the chapter's own functions whose piece of text does not stand there exactly once."""
    sources: dict[str, str] = {}
    for cell in found:
        for node in ast.walk(cell.tree):
            if isinstance(node, ast.FunctionDef):
                sources[node.name] = ast.get_source_segment(chapter.source(cell.index), node)
        for node in ast.walk(cell.tree):
            if not (isinstance(node, ast.Call) and _name(node.func) == "slip" and len(node.args) == 3):
                continue
            function, right = _name(node.args[0]), getattr(node.args[1], "value", None)
            if function in sources and isinstance(right, str) and (times := sources[function].count(right)) != 1:
                yield (
                    f"{chapter.place(cell.index)}: {right!r} stands {times} times in {function}; hand claims.slip a piece "
                    "that stands there exactly once"
                )


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.arguments]]:
    """Functions and methods with the name under which they are called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name, node.args
        elif isinstance(node, ast.ClassDef):
            yield from ((node.name, f.args) for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            yield _name(node.targets[0]), node.value.args


def _optional(arguments: ast.arguments) -> Iterator[tuple[str, int | None]]:
    """Parameters with a default, each with its position in a call, None for those passed by keyword alone."""
    positional = [*arguments.posonlyargs, *arguments.args]
    is_method = bool(positional) and positional[0].arg in ("self", "cls")
    first = len(positional) - len(arguments.defaults)
    for position, argument in enumerate(positional[first:], first):
        yield argument.arg, position - is_method
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield argument.arg, None


def _passes(nodes: list[ast.AST], function: str, parameter: str, position: int | None) -> bool:
    """Whether a call of the function by its name, or a `partial` of it, hands over the parameter."""
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        handed = node.args
        if _name(node.func) == "partial" and handed:
            called, handed = _name(handed[0]), handed[1:]
        else:
            called = _name(node.func)
        if called != function:
            continue
        starred = any(isinstance(argument, ast.Starred) for argument in handed)
        if position is not None and (len(handed) > position or starred):
            return True
        if any(keyword.arg in (parameter, None) for keyword in node.keywords):
            return True
    return False


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
