"""Overviews of the book: what needs what, all digests, what libraries do in production, and the chapters' sources."""

import re
from collections import defaultdict
from graphlib import TopologicalSorter

from docutils import nodes
from docutils.statemachine import StringList

from lib.chapter.book import syllabus
from lib.chapter.notebook import Chapter

from .pages import BookDirective, table

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


class Digests(BookDirective):
    """`{digests}`: every digest of the syllabus and its chapter."""

    def run(self):
        written = {chapter.digest: chapter for chapter in self.read_chapters()}
        return [self.part(part, written) for part in syllabus()]

    def part(self, part: dict, written: dict[str, Chapter]) -> nodes.section:
        rows = [
            [entry["digest"], entry["title"], self.state_of(written.get(entry["digest"]))]
            for entry in part["chapters"]
        ]
        title = nodes.title("", part["title"])
        return nodes.section("", title, table(["Digest", "Subject", "Chapter"], rows, ["digests"]), ids=[part["part"]])

    def state_of(self, chapter: Chapter | None) -> nodes.Node:
        if chapter is None:
            return nodes.inline("", "not yet written", classes=["unwritten"])
        return self.link(chapter, chapter.header.title)


class Production(BookDirective):
    """`{production}`: library by library, where it departs from the chapters; each row is pinned by a test."""

    def run(self):
        by_library = defaultdict(list)
        for chapter in self.read_chapters():
            for library, function, *says in (chapter.production or [])[1:]:
                name, _, version = library.partition(" ")
                cells = [self.parsed(cell) for cell in (function, *says)]
                by_library[name].append([version, *cells, self.link(chapter, chapter.header.title, "in-production")])
        head = ["Version", "Function", "What it does", "What follows", "Chapter"]
        return [
            nodes.section("", nodes.title("", name), table(head, rows, ["production"]), ids=[f"production-{name}"])
            for name, rows in sorted(by_library.items())
        ] or [nodes.paragraph("", "No chapter has such a table yet.")]

    def parsed(self, markdown: str) -> nodes.inline:
        content, _ = self.state.inline_text(markdown, self.lineno)
        return nodes.inline("", "", *content)


class Sources(BookDirective):
    """`{sources}`: what every chapter is built on, as its header names it."""

    def run(self):
        items = []
        for chapter in self.read_chapters():
            body = nodes.definition()
            self.state.nested_parse(StringList([chapter.header.sources], source=str(chapter.path)), 0, body)
            term = nodes.term("", "", self.link(chapter, chapter.header.title))
            items.append(nodes.definition_list_item("", term, body))
        return [nodes.definition_list("", *items)] if items else []
