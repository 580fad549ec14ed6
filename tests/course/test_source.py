import functools

import pytest

from lib.course import source
from lib.course.shapes import checked


def documented(x):
    """What it does.

    In two paragraphs.
    """
    # a comment stays
    return x + 1


def begins_with_a_call(items):
    items.append(1)
    return items


def begins_with_a_constant(x):
    0.5  # noqa: B018
    return x


def untouched(x): ...


def only_documented(x):
    """Nothing else."""


@functools.lru_cache
@checked
def decorated(x: int) -> int:
    """Checked."""
    return x


class Shape:
    """A class."""

    sides = 4

    def area(self, side):
        """Of a square."""
        return side * side


def longest(lines):
    """A function of that many lines, with a docstring of three more."""
    body = "\n".join(["    x += 1"] * (lines - 2))
    text = f'def made(x):\n    """One.\n\n    """\n{body}\n    return x\n'
    return text


def shown(function):
    return source.show(function).data


def test_the_docstring_is_left_out_and_nothing_else():
    assert shown(documented) == "```python\ndef documented(x):\n    # a comment stays\n    return x + 1\n```"
    assert shown(begins_with_a_call).splitlines()[2] == "    items.append(1)"
    assert shown(begins_with_a_constant).splitlines()[2].startswith("    0.5")
    assert shown(untouched).splitlines()[1] == "def untouched(x): ..."
    assert '"""Nothing else."""' in shown(only_documented)


def test_what_is_wrapped_indented_or_a_class_is_shown():
    assert shown(decorated).splitlines()[1:-1] == [
        "@functools.lru_cache", "@checked", "def decorated(x: int) -> int:", "    return x",
    ]  # fmt: skip
    assert shown(Shape.area).splitlines()[1:-1] == ["def area(self, side):", "    return side * side"]
    assert shown(Shape).splitlines()[1] == "class Shape:" and '"""A class."""' not in shown(Shape)


def test_a_lambda_is_refused():
    twice = lambda x: 2 * x  # noqa: E731
    with pytest.raises(ValueError, match="function must have a name of its own, got the line 'twice = lambda"):
        source.show(twice)


@pytest.mark.parametrize("lines", [30, 31])
def test_thirty_lines_without_the_docstring_are_the_most(tmp_path, monkeypatch, lines):
    (tmp_path / f"made_{lines}.py").write_text(longest(lines))
    monkeypatch.syspath_prepend(tmp_path)
    made = __import__(f"made_{lines}").made
    if lines <= 30:
        assert len(shown(made).splitlines()) == lines + 2
    else:
        with pytest.raises(ValueError, match="made has 31 lines, more than 30: link to it instead"):
            source.show(made)
