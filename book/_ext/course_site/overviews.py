"""Overviews of the book: the learning map, and what libraries do in production."""

import re
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter

from docutils import nodes
from sphinx.util import logging

from lib.chapter.notebook import Chapter
from lib.chapter.reading import core_and_deeper

from .pages import BookDirective, table
from .quotes import QuotingDirective

LOGGER = logging.getLogger(__name__)
_CHAPTER_LINK = re.compile(r"\]\(([^)#\s]+\.ipynb)")


def needed(chapter: Chapter, found: list[Chapter]) -> list[Chapter]:
    """The chapters of the book that a chapter's header names as needed."""
    folder = chapter.path.parent
    wanted = {(folder / link).resolve() for link in _CHAPTER_LINK.findall(chapter.header.needs)}
    return [other for other in found if other.path.resolve() in wanted]


def steps(needs: dict[str, set[str]]) -> dict[str, int]:
    """The length of the longest chain of needs that leads to each chapter; a CycleError names a circle."""
    step: dict[str, int] = {}
    for name in TopologicalSorter(needs).static_order():
        step[name] = max((step[other] + 1 for other in needs[name]), default=0)
    return step


class LearningMap(BookDirective):
    """`{learning-map}`: the chapters in steps; what a chapter needs stands in the steps before it."""

    def run(self):
        found = self.read_chapters()
        before = {chapter.slug: needed(chapter, found) for chapter in found}
        try:
            step = steps({slug: {other.slug for other in others} for slug, others in before.items()})
        except CycleError as error:
            LOGGER.warning("chapters need each other in a circle: %s. Mend their “Needs”.", error.args[1])
            return []
        levels = nodes.enumerated_list(classes=["learning-map"])
        for level in range(max(step.values(), default=-1) + 1):
            cards = [self.card(chapter, before[chapter.slug]) for chapter in found if step[chapter.slug] == level]
            label = "Start here" if level == 0 else f"Step {level + 1}"
            levels += nodes.list_item(
                "", nodes.paragraph("", label, classes=["step"]), nodes.bullet_list("", *cards, classes=["cards"])
            )
        return [levels] if levels.children else [nodes.paragraph("", "No chapter has been written yet.")]

    def card(self, chapter: Chapter, before: list[Chapter]) -> nodes.list_item:
        core, _ = core_and_deeper(chapter)
        minutes = f"{core.minutes:.0f} minutes to read, {chapter.header.minutes_to_work} to work"
        after = nodes.paragraph("", minutes, classes=["after"])
        for i, other in enumerate(before):
            after += [nodes.Text(", " if i else "; needs "), self.link(other, other.header.title)]
        title = nodes.paragraph("", "", self.link(chapter, chapter.header.title), classes=["title"])
        return nodes.list_item("", title, after)


class Production(QuotingDirective):
    """`{production}`: library by library, where it departs from the chapters; each row is pinned by a test."""

    def run(self):
        by_library = defaultdict(list)
        for chapter in self.read_chapters():
            for library, function, *says in (chapter.production or [])[1:]:
                name, _, version = library.partition(" ")
                cells = [self.inline(chapter, cell) for cell in (function, *says)]
                by_library[name].append([version, *cells, self.link(chapter, chapter.header.title, "in-production")])
        head = ["Version", "Function", "What it does", "What follows", "Chapter"]
        return [
            nodes.section("", nodes.title("", name), table(head, rows, ["production"]), ids=[f"production-{name}"])
            for name, rows in sorted(by_library.items(), key=lambda item: item[0].casefold())
        ] or [nodes.paragraph("", "No chapter has such a table yet.")]
