"""What the parts of the extension share: the chapter of a page, and directives made from all chapters at once."""

from functools import cache
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.environment.collectors import EnvironmentCollector
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from lib.chapter.book import chapter_paths, syllabus
from lib.chapter.notebook import Chapter


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


class BookDirective(SphinxDirective):
    """A directive that reads every chapter; its page is made again when one of them changes."""

    def read_chapters(self) -> list[Chapter]:
        root = Path(self.env.srcdir)
        found = [unchanged(path, path.stat().st_mtime_ns) for path in chapter_paths(root)]
        found = [chapter for chapter in found if chapter.has_header]
        for path in [root / "_toc.yml", root / "book" / "syllabus.yml", *(chapter.path for chapter in found)]:
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
