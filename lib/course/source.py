"""The source of a `lib` function, shown where a chapter talks about it."""

import ast
import inspect
from collections.abc import Callable

from IPython.display import Markdown

LONGEST = 30


def show(function: Callable) -> Markdown:
    """The source of a function as a code block, without its docstring; more than 30 lines are refused."""
    lines = inspect.getsource(inspect.unwrap(function)).splitlines()
    body = ast.parse("\n".join(lines)).body[0].body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        del lines[body[0].lineno - 1 : body[0].end_lineno]
    if len(lines) > LONGEST:
        raise ValueError(f"{function.__name__} has {len(lines)} lines, more than {LONGEST}: link to it instead")
    return Markdown("```python\n" + "\n".join(lines) + "\n```")
