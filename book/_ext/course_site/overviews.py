"""Overviews of the book: what needs what, and what libraries do in production."""

import re
from collections import defaultdict
from graphlib import TopologicalSorter

from docutils import nodes

from lib.chapter.notebook import Chapter

from .pages import table
from .quotes import QuotingDirective

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
