"""What a chapter says, shown on another page: its links lead where they led, and its numbers to its equations."""

import re
from os.path import relpath
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList

from lib.chapter.notebook import Chapter

from .pages import BookDirective
from .references import References

_LINK = re.compile(r"`[^`\n]+`|\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]*)?\)")  # code stays as it is
_END = re.compile(r"""[.!?]["”’)*]*(?=\s|$)""")


def with_links_of(markdown: str, chapter: Path, folder: Path) -> str:
    """A chapter's Markdown for a page in a folder: relative links, and those within the chapter, still lead there."""

    def rewrite(link: re.Match) -> str:
        if link[0].startswith("`"):
            return link[0]
        target = chapter.parent / link[1] if link[1] else chapter
        return f"]({Path(relpath(target, folder)).as_posix()}{link[2] or ''})"

    return _LINK.sub(rewrite, markdown)


def beginning(text: str, least: int) -> str:
    """The first sentences of a text, as many as have at least so many characters; no formula or bracket is cut."""
    for end in _END.finditer(text):
        said, rest = text[: end.end()], text[end.end() :].lstrip()
        whole = said.count("$") % 2 == 0 and all(said.count(a) <= said.count(b) for a, b in ("()", "[]"))
        if len(said) >= least and whole and not rest[:1].islower() and not rest[:1].isdigit():
            return said
    return text


class QuotingDirective(BookDirective):
    """A directive whose page shows pieces of chapters."""

    def inline(self, chapter: Chapter, markdown: str) -> nodes.inline:
        """A piece within a line."""
        text = self.parsed(self.here(chapter, " ".join(markdown.split())))
        return self.linked(chapter, nodes.paragraph("", "", text)).children[0]

    def blocks(self, chapter: Chapter, markdown: str) -> list[nodes.Node]:
        """Whole paragraphs."""
        lines = StringList(self.here(chapter, markdown).splitlines(), source=str(chapter.path))
        body = nodes.container()
        self.state.nested_parse(lines, 0, body)
        return list(self.linked(chapter, body).children)

    def here(self, chapter: Chapter, markdown: str) -> str:
        return with_links_of(markdown, chapter.path, Path(self.env.doc2path(self.env.docname)).parent)

    def linked(self, chapter: Chapter, body: nodes.Element) -> nodes.Element:
        References(self.env, chapter).link_in(body)
        return body
