"""The line of a check: written and read back without loss, and refused when it is malformed."""

import pytest
from lib.course.line import KINDS, Line, is_plain, parse

TEXTS = {
    "✓ (4) exact · 1e-12 · posterior mean · rejects: a; b": Line(4, "exact", "1e-12", "posterior mean", ("a", "b")),
    "✓ (12) cost · equal · products of (3)": Line(12, "cost", "equal", "products of (3)"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_line_is_written_and_read_back(text):
    assert str(TEXTS[text]) == TEXTS[text].format() == text
    assert parse(f"before\n{text}\nafter ✓\n") == ([TEXTS[text]], [])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read(kind):
    line = Line(1, kind, "t", "w", ("c",))
    assert parse(str(line)) == ([line], [])


@pytest.mark.parametrize(
    "row",
    [
        "✓ (1) believed · 0 · w",
        "✓ (1) exact · w",
        "✓ (1) exact · 0 · w · c",
        "✓ (1) exact · 0 · w · rejects: c · d",
        " ✓ (1) exact · 0 · w",
        "✓ (D1) exact · 0 · w",
        "✓ (1) exact ·  · w",
        "✓ (1) exact · 0 · w · rejects: ",
    ],
)
def test_a_malformed_line_is_named(row):
    assert parse(f"fine\n{row}") == ([], [row])


def test_exercises_and_prose_are_no_lines():
    assert parse("Exercise 1: ✓ right\nsee (1) · 2 · 3") == ([], [])


@pytest.mark.parametrize(("words", "plain"), [("a root", True), ("a · b", False), ("a; b", False), ("✓", False), (3, False)])
def test_a_text_that_would_break_a_line_is_not_plain(words, plain):
    assert is_plain(words) is plain
