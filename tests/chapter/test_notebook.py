"""What is read of a chapter's cells."""

import json

import pytest

from lib.chapter.notebook import Chapter

HEAD = "| Library | Function | What it does | What follows |\n|---|:--|--:|:-:|\n"


@pytest.fixture
def chapter(tmp_path):
    def chapter(*sources: str, kind: str = "markdown") -> Chapter:
        cells = [{"cell_type": kind, "metadata": {}, "source": source, "outputs": []} for source in sources]
        path = tmp_path / "page.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": {}}), encoding="utf-8")
        return Chapter(path)

    return chapter


def test_the_production_table_is_read_row_by_row(chapter):
    rows = "| torch 2.13.0 | `a` | $\\|x\\|$ | b |\n| numpy | - | c | - |"
    found = chapter(f"## In production\n\nWords.\n\n{HEAD}{rows}", "## Exercises\n\n| c |")
    assert found.production[0] == ("Library", "Function", "What it does", "What follows")
    assert found.production[1:] == [("torch 2.13.0", "`a`", "$\\|x\\|$", "b"), ("numpy", "-", "c", "-")]


def test_a_chapter_without_the_section_has_no_table(chapter):
    assert chapter("# A").production is None
    assert chapter("## In production\n\nNothing.").production == []


@pytest.mark.parametrize(
    ("source", "title"), [("#@title Figure: a\nx", "Figure: a"), ("# a", ""), ("x\n#@title a", ""), ("#@title  a \r\nx", "a")]
)
def test_a_cell_has_the_title_of_its_first_line(chapter, source, title):
    assert chapter(source, kind="code").title(0) == title


@pytest.mark.parametrize("cell", [2, -1, "x", None, 0.0])
def test_a_cell_that_is_not_there_is_named(chapter, cell):
    made = chapter("a", "b")
    assert made.source(1) == "b"
    for ask in (made.source, made.tags, made.output_text):
        with pytest.raises(ValueError, match=f"cell must be a position from 0 to 1, got {cell!r}"):
            ask(cell)


def test_a_line_that_ends_as_on_windows_is_an_ordinary_line(chapter):
    (exercise,) = chapter("### Exercise 1 ★★ · Turn · 15 minutes\r\n\r\nWrite it.").exercises
    assert (exercise.number, exercise.stars, exercise.title, exercise.minutes) == (1, 2, "Turn", 15)
