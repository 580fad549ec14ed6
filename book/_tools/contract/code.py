"""What the rules know of a code cell: its role on the page, the names that it defines and those that it needs."""

import ast
import dis
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import CodeType

from lib.chapter.notebook import Chapter
from lib.course.line import KINDS

from .exercises import section

DRAWING_MODULES = {"plt", "figures"}


@dataclass(frozen=True)
class CodeCell:
    """A code cell; its role is "set-up", "check", "drawing", "method" or, for example, "exercise 2"."""

    index: int
    role: str
    tree: ast.Module

    @property
    def is_exercise(self) -> bool:
        return self.role.startswith("exercise")

    @cached_property
    def names(self) -> tuple[set[str], set[str]]:
        """The names that running the cell defines, and those that it takes from the cells before it."""
        return _names(compile(self.tree, "cell", "exec"))


def parsed(source: str) -> ast.Module:
    """The syntax tree of a cell; an empty one where the cell is not plain Python, which another rule reports."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.Module([], [])


def code_cells(chapter: Chapter) -> list[CodeCell]:
    """All code cells, with their roles."""
    in_exercise = {i: f"exercise {e.number}" for e in chapter.exercises for i in section(chapter, e)[2]}
    found = []
    for i in chapter.indices("code"):
        tree = parsed(chapter.source(i))
        if i in in_exercise:
            role = in_exercise[i]
        elif not found:
            role = "set-up"
        elif calls_claims(tree):
            role = "check"
        else:
            role = "drawing" if draws(chapter, i, tree) else "method"
        found.append(CodeCell(i, role, tree))
    return found


def calls_claims(tree: ast.Module) -> bool:
    """Whether code verifies an equation: it calls `claims.exact` or another kind; `claims.slip` alone does not."""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in KINDS
        and isinstance(node.func.value, ast.Name) and node.func.value.id == "claims"
        for node in ast.walk(tree)
    )  # fmt: skip


def draws(chapter: Chapter, i: int, tree: ast.Module) -> bool:
    """Whether a cell shows a picture, calls what draws, or prints a table under a title of its own."""
    pictured = any(kind.startswith("image/") for o in chapter.cells[i].get("outputs", []) for kind in o.get("data", {}))
    calls = any(
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in DRAWING_MODULES
        for node in ast.walk(tree)
    )
    return pictured or calls or chapter.title(i).startswith("Table: ")


def _names(code: CodeType) -> tuple[set[str], set[str]]:
    """Read off the compiled module: names are stored and loaded in the order in which the cell runs."""
    defined, needed = set(), set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":
            defined.add(step.argval)
        elif step.opname == "LOAD_NAME" and step.argval not in defined:
            needed.add(step.argval)
    for inner in _inner(code):  # functions look their names up when they are called
        stored = {step.argval for step in dis.get_instructions(inner) if step.opname == "STORE_NAME"}
        for step in dis.get_instructions(inner):
            if step.opname == "STORE_GLOBAL":
                defined.add(step.argval)
            elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval not in defined | stored:
                needed.add(step.argval)
    return defined, needed


def _inner(code: CodeType) -> Iterator[CodeType]:
    """The code of the functions, classes and comprehensions within."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inner(constant)
