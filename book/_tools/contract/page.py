"""The rules of the page as a whole: what it promises, how long it takes to read, and what libraries do instead."""

import re
from collections.abc import Iterator
from pathlib import Path

from lib.chapter.book import syllabus
from lib.chapter.notebook import PRODUCTION_HEAD, Chapter
from lib.chapter.reading import core_and_deeper

MOST_MINUTES, MOST_LINES, MOST_WORDS = 60, 150, 25

_TIME = re.compile(r"\d+ minutes to work")
_TRAINED_BY = re.compile(r"\(exercises? (\d+(?:, \d+)*)\)\.?$")
_QUESTION = re.compile(r"(?:[^.!?]|[.!?](?!\s))+\?")  # a sign within a sentence, as in 0.5, is not followed by a space
_LIBRARY = re.compile(r"\S+ \d+(\.\w+)+")


def page(chapter: Chapter, root: Path) -> Iterator[str]:
    if chapter.has_header:
        yield from _header(chapter, root)
    yield from _budget(chapter)
    yield from _production(chapter, root)


def _header(chapter: Chapter, root: Path) -> Iterator[str]:
    header = chapter.header
    if not _TIME.fullmatch(header.time):
        yield f"header: the time is {header.time!r}; type '- **Time:** 45 minutes to work', the build computes the reading"
    if not _QUESTION.fullmatch(header.question) or len(header.question.split()) > MOST_WORDS:
        yield (
            f"header: the question is {header.question!r}; ask in one sentence of at most {MOST_WORDS} words what the "
            "chapter is about, and end it with a question mark"
        )
    for outcome in header.outcomes.split(";"):
        trained = _TRAINED_BY.search(outcome.strip())
        if not trained:
            yield f"header: the outcome {outcome.strip()!r} names no exercise; end it with (exercise 2) or (exercises 1, 3)"
            continue
        for number in set(map(int, trained[1].split(", "))) - {exercise.number for exercise in chapter.exercises}:
            yield f"header: the outcome {outcome.strip()!r} names exercise {number}, which the chapter does not have"
    planned = {entry["slug"]: entry["title"] for part in syllabus(root) for entry in part["chapters"]}
    if header.title != planned.get(chapter.slug, header.title):
        yield f"header: the title is {header.title!r}; book/syllabus.yml says {planned[chapter.slug]!r}: make them agree"


def _budget(chapter: Chapter) -> Iterator[str]:
    core, _ = core_and_deeper(chapter)
    cut = "cut the page to its line of argument and move the rest under '## Deeper: …'"
    if core.minutes > MOST_MINUTES:
        yield (
            f"the core takes {core.minutes:.0f} minutes to read, at most {MOST_MINUTES}: {cut} ({core.words} words, "
            f"{core.displays} displays, {core.formulas} formulas in lines, {core.lines} visible lines of code)"
        )
    if core.lines > MOST_LINES:
        yield f"the core shows {core.lines} lines of code, at most {MOST_LINES}: fold what checks or draws, and {cut}"


def _production(chapter: Chapter, root: Path) -> Iterator[str]:
    table = chapter.production
    head = f"| {' | '.join(PRODUCTION_HEAD)} |"
    if table is None:
        yield f"no section '## In production'; add it, with a table {head}"
        return
    if not table or table[0] != PRODUCTION_HEAD:
        yield f"In production: begin the table with {head}"
    elif len(table) == 1:
        yield "In production: the table has no row; say what a library does where it departs from the page"
    for row in table[1:]:
        if len(row) != len(PRODUCTION_HEAD) or not all(row):
            yield f"In production: the row {' | '.join(row)!r} does not fill the columns {head}"
        elif not _LIBRARY.fullmatch(row[0]):
            yield f"In production: {row[0]!r} is no library and version; write it like 'torch 2.13.0'"
    test = Path("tests", "production", f"test_{chapter.slug.replace('-', '_')}.py")
    if not (root / test).exists():
        yield f"In production: {test} is missing; pin each row there by a test whose message names the version"
