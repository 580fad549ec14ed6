"""What the parts of the extension share: the chapter of a page, and directives made from all chapters at once."""

import hashlib
import re
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.environment.collectors import EnvironmentCollector
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from lib.chapter.book import chapter_paths, syllabus
from lib.chapter.notebook import Chapter
from lib.chapter.reading import core_and_deeper

_HEADING = re.compile(r"^#+ .+$", re.M)


def chapter_of(env) -> Chapter | None:
    """The chapter that is being read; None on a page that is no notebook."""
    path = Path(env.doc2path(env.docname))
    return Chapter(path) if path.suffix == ".ipynb" else None


@cache
def unchanged(path: Path, changed: int) -> Chapter:
    """A chapter, read once for all pages of a build that show something of it."""
    return Chapter(path)


class PageCollector(EnvironmentCollector):
    """Keeps something of every page between builds, by page, in an attribute of Sphinx's environment."""

    attribute: str

    @classmethod
    def kept(cls, env) -> dict:
        if not hasattr(env, cls.attribute):
            setattr(env, cls.attribute, {})
        return getattr(env, cls.attribute)

    def clear_doc(self, app, env, docname):
        self.kept(env).pop(docname, None)

    def merge_other(self, app, env, docnames, other):
        found = self.kept(other)
        self.kept(env).update({docname: found[docname] for docname in docnames if docname in found})


def part_titles() -> dict[str, str]:
    """The titles of all parts, by the name of their folder."""
    return {part["part"]: part["title"] for part in syllabus()}


def count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def listed(chapter: Chapter) -> tuple:
    """What lists show of a chapter: everything that stands in a fixed form, and no prose."""
    headings = _HEADING.findall(chapter.prose())
    tags = [(equation.tag, equation.cell) for equation in chapter.equations if equation.tag]
    anchors = [chapter.anchor(check.cell) for check in chapter.checks]
    minutes = [round(part.minutes) for part in core_and_deeper(chapter)]
    facts = (chapter.checks, chapter.exercises, chapter.corrections, chapter.production)
    return chapter.digest, chapter.header, headings, tags, anchors, minutes, facts


class ShownOfChapters(PageCollector):
    """What each page shows of the chapters, as a digest; a page whose digest is another one now is made again."""

    attribute = "course_shown_of_chapters"

    def process_doc(self, app, doctree):
        """Nothing is found in the page itself: its directives note what they show."""

    def get_outdated_docs(self, app, env, added, changed, removed):
        return [docname for docname, shown in self.kept(env).items() if any(map(self.differs, shown))]

    @staticmethod
    def differs(shown: tuple[Path, int, Callable, str]) -> bool:
        path, changed, take, digest = shown
        if not path.exists():
            return True
        now = path.stat().st_mtime_ns
        return now != changed and digest_of(take, unchanged(path, now)) != digest


@cache
def digest_of(take: Callable[[Chapter], object], chapter: Chapter) -> str:
    return hashlib.sha256(repr(take(chapter) if chapter.has_header else None).encode()).hexdigest()


class BookDirective(SphinxDirective):
    """A directive that reads every chapter; its page is made again when what it shows of one changes."""

    take = staticmethod(listed)  # all that the directive may use of a chapter

    def read_chapters(self) -> list[Chapter]:
        root = Path(self.env.srcdir)
        shown = ShownOfChapters.kept(self.env).setdefault(self.env.docname, [])
        found = []
        for path in chapter_paths(root):
            changed = path.stat().st_mtime_ns
            chapter = unchanged(path, changed)
            shown.append((path, changed, self.take, digest_of(self.take, chapter)))
            if chapter.has_header:
                found.append(chapter)
        for path in (root / "_toc.yml", root / "book" / "syllabus.yml"):
            self.env.note_dependency(str(path))
        return found

    def parsed(self, markdown: str) -> nodes.inline:
        """Markdown within a line."""
        content, _ = self.state.inline_text(markdown, self.lineno)
        return nodes.inline("", "", *content)

    def docname(self, chapter: Chapter) -> str:
        return self.env.path2doc(str(chapter.path))

    def address(self, chapter: Chapter) -> str:
        """The address of a chapter's page, from the page of the directive."""
        return self.env.app.builder.get_relative_uri(self.env.docname, self.docname(chapter))

    def link(self, chapter: Chapter, text: str, target: str = "") -> nodes.reference:
        """A link to a chapter, or to an address within its page."""
        builder = self.env.app.builder
        return make_refnode(builder, self.env.docname, self.docname(chapter), target, nodes.Text(text))


def table(head: list[str], rows: list[list[nodes.Node | str]], classes: list[str]) -> nodes.table:
    """A table of texts and inline nodes."""

    def row(cells):
        entries = [
            nodes.entry("", nodes.paragraph("", "", nodes.Text(cell) if isinstance(cell, str) else cell))
            for cell in cells
        ]
        return nodes.row("", *entries)

    group = nodes.tgroup("", *[nodes.colspec(colwidth=1) for _ in head], cols=len(head))
    group += nodes.thead("", row(head))
    group += nodes.tbody("", *[row(cells) for cells in rows])
    return nodes.table("", group, classes=classes)


def add_files_where(app, marker: str, *files: str):
    """Load style sheets and scripts on the pages alone whose HTML has a marker."""

    def add(app, pagename, templatename, context, doctree):
        if marker in context.get("body", ""):
            for file in files:
                if file.endswith(".css"):
                    app.add_css_file(file)
                else:
                    app.add_js_file(file, loading_method="defer")

    app.connect("html-page-context", add)


def chinese(text: str) -> nodes.inline:
    """A Chinese name, marked as such for a screen reader: docutils makes lang="zh" of the class."""
    return nodes.inline("", text, classes=["language-zh"])


def fold(anchor: str, title: str, counts: str, body: list[nodes.Node]) -> list[nodes.Node]:
    """A closed part of a list, with its title and what it holds in figures."""
    summary = f'<summary>{escape(title)} <span class="counts">{escape(counts)}</span></summary>'
    return [
        nodes.raw("", f'<details class="listing" id="{anchor}">{summary}', format="html"),
        *body,
        nodes.raw("", "</details>", format="html"),
    ]


def setup(app):
    app.add_env_collector(ShownOfChapters)
