"""The glossary: the terms that chapters define, in English and in Chinese, each linked to the place that defines it."""

import re
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes

from lib.chapter.anchors import equation_anchor
from lib.chapter.book import ROOT, read_yaml
from lib.chapter.notebook import Chapter

from .pages import chinese
from .quotes import QuotingDirective

_EQUATION = re.compile(equation_anchor(r"(D?\d+)"))
_HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Term:
    """An entry of book/terms.yml: what a term says, and where: a chapter's slug and an address within its page."""

    term: str
    zh: str
    at: str
    says: str
    search: str = ""

    @property
    def anchor(self) -> str:
        return "term-" + nodes.make_id(self.term)

    @property
    def words(self) -> str:
        """What a search for the Chinese term looks for."""
        return self.search or self.term.partition(" (")[0].lower()


def path_of_terms(root: Path = ROOT) -> Path:
    return root / "book" / "terms.yml"


def _read(root: Path) -> dict:
    return read_yaml(path_of_terms(root))


def glossary(root: Path = ROOT) -> list[Term]:
    """The terms in the order of the page."""
    return sorted((Term(**entry) for entry in _read(root)["glossary"]), key=lambda term: term.term.casefold())


def search_words(root: Path = ROOT) -> dict[str, str]:
    """The Chinese words that search knows, with their English ones."""
    return {term.zh: term.words for term in glossary(root) if _HAN.search(term.zh)} | _read(root)["search"]


class Glossary(QuotingDirective):
    """`{glossary-of-chapters}`: the terms from A to Z."""

    def run(self):
        found = {chapter.slug: chapter for chapter in self.read_chapters()}
        self.env.note_dependency(str(path_of_terms()))
        terms = [term for term in glossary() if term.at.partition("#")[0] in found]
        items = [self.item(term, found) for term in terms]
        return [self.letters(terms), nodes.definition_list("", *items, classes=["listing", "glossary"])]

    def letters(self, terms: list[Term]) -> nodes.paragraph:
        """Links to the first term of each letter."""
        first = {}
        for term in terms:
            first.setdefault(term.term[0].upper(), term)
        row = nodes.paragraph(classes=["letters"])
        for letter, term in first.items():
            row += [nodes.reference("", letter, refid=term.anchor, internal=True), nodes.Text(" ")]
        return row

    def item(self, term: Term, found: dict[str, Chapter]) -> nodes.definition_list_item:
        slug, _, address = term.at.partition("#")
        head = nodes.term("", nodes.Text(term.term), ids=[term.anchor])
        if term.zh != term.term:
            head += [nodes.Text(" "), chinese(term.zh)]
        body = nodes.paragraph("", "", self.inline(found[slug], term.says), nodes.Text(" "))
        body += self.place(found[slug], address)
        return nodes.definition_list_item("", head, nodes.definition("", body))

    def place(self, chapter: Chapter, address: str) -> nodes.Node:
        """A link to the equation or to the section; the build warns of an address that is not there."""
        title = chapter.header.title
        if equation := _EQUATION.fullmatch(address):
            return self.link(chapter, f"{title}, ({equation[1]})", address)
        return self.inline(chapter, f"[{title}](#{address})")
