"""The source of a `lib` function, shown where a chapter talks about it."""

import ast
import inspect
import textwrap
from collections.abc import Callable

from IPython.display import Markdown

from lib.course.shapes import checked_after_errors

LONGEST = 30


@checked_after_errors
def show(function: Callable) -> Markdown:
    """The source of a function, method or class as a code block, without its docstring; over 30 lines are refused."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    definition = ast.parse("\n".join(lines)).body[0]
    if not isinstance(definition, ast.FunctionDef | ast.ClassDef):
        raise ValueError(f"function must have a name of its own, got the line {lines[0].strip()!r}")
    if ast.get_docstring(definition) is not None and len(definition.body) > 1:
        docstring = definition.body[0]
        del lines[docstring.lineno - 1 : docstring.end_lineno]
    if len(lines) > LONGEST:
        raise ValueError(f"{function.__name__} has {len(lines)} lines, more than {LONGEST}: link to it instead")
    return Markdown("```python\n" + "\n".join(lines) + "\n```")
