"""The reading budget: what counts, at which rate, and in which part of a page."""

import json

import pytest

from lib.chapter.notebook import Chapter
from lib.chapter.reading import Reading, core_and_deeper

CODE = "x = 1\n\ny = 2"


@pytest.fixture
def read(tmp_path):
    """The core and the deeper part of a page given as Markdown texts and, where a text is CODE, as an open code cell."""

    def read(*sources: str, tags: tuple[str, ...] = ()) -> tuple[Reading, Reading]:
        cells = [
            {"cell_type": "code" if source == CODE else "markdown", "metadata": {"tags": list(tags)}, "source": source}
            for source in sources
        ]
        path = tmp_path / "page.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": {}}), encoding="utf-8")
        return core_and_deeper(Chapter(path))

    return read


def test_minutes_follow_the_rates():
    assert Reading(words=120).minutes == Reading(formulas=15).minutes == Reading(lines=10).minutes == 1
    assert Reading(displays=5).minutes == pytest.approx(6)


def test_words_formulas_displays_and_lines_are_counted_apart(read):
    core, deeper = read("Let $a$ and $b + c$ be\n\n$$\na = b\n$$\n\nfor ever.", CODE)
    assert core == Reading(words=5, displays=1, formulas=2, lines=2) and deeper == Reading()


def test_of_the_header_only_what_the_site_shows_is_read(read):
    note = "> **Source note.** Not read,\n> nor this."
    rows = "- **Question:** Why?\n- **Sources:** [not\n  read](https://a.org)\n- **Needs:** one thing"
    core, _ = read(f"# Title\n\n{note}\n\n{rows}\n\nFor ever.")
    assert core.words == len("# Title - **Question:** Why? - **Needs:** one thing For ever.".split())
    assert read(f"{note}")[0].words == 0


def test_folded_code_and_folded_prose_are_not_read(read):
    core, _ = read("One <details><summary>two</summary> three $x$</details>", CODE, tags=("hide-input",))
    assert core == Reading(words=1)


def test_a_deeper_section_ends_at_the_next_heading_that_is_not_deeper(read):
    core, deeper = read("# A", "## Deeper: b\n\none", CODE, "#### c", "### Deeper: d\n\n### e\n\ntwo three", CODE)
    assert core == Reading(words=2 + 4, lines=2)
    assert deeper == Reading(words=4 + 2 + 3, lines=2)


def test_exercises_and_what_follows_are_not_counted(read):
    core, deeper = read("one", "two\n\n## Exercises\n\nthree", CODE, "## Deeper: four", "## What to remember")
    assert (core, deeper) == (Reading(words=2), Reading())


def test_a_comment_in_a_block_of_code_is_no_heading(read):
    core, deeper = read("## Deeper: a\n\n```python\n# b\n```\n\none")
    assert core == Reading() and deeper == Reading(words=4)
