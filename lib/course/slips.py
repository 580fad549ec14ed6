"""A mistake made from a function's own source: one piece of its text replaced by another."""

import ast
import inspect
import textwrap
from collections.abc import Callable

from lib.course.shapes import checked_after_errors
from lib.course.verify import UselessCheck


@checked_after_errors
def slip(function: Callable, right: str, wrong: str) -> Callable:
    """The same function with the one piece `right` of its source replaced by `wrong`.

    The copy sees the names that the function sees, as they are now. Raises `UselessCheck` where `right` does not stand
    in the source exactly once, where the result does not compile, or where only a comment or docstring changes.
    """
    original = inspect.unwrap(function) if callable(function) else function
    if not inspect.isfunction(original) or original.__name__ == "<lambda>":
        raise UselessCheck(f"slip needs a function that is defined with def, got {function!r}")
    source, name = textwrap.dedent(inspect.getsource(original)), original.__name__
    if source.count(right) != 1 or not right:
        raise UselessCheck(f"{right!r} must stand exactly once in the source of {name}, got {source.count(right)} times")
    try:
        code = compile(source.replace(right, wrong), f"<slip of {name}>", "exec")
    except SyntaxError as error:
        raise UselessCheck(f"{name} with {wrong!r} for {right!r} does not compile: {error}") from error
    if _statements(source) == _statements(source.replace(right, wrong)):
        raise UselessCheck(f"{wrong!r} for {right!r} changes nothing that {name} computes")
    names = {**original.__globals__, **inspect.getclosurevars(original).nonlocals}
    exec(code, names)
    return names[name]


def _statements(source: str) -> str:
    """What a source computes: its syntax tree without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)
