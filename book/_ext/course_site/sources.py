"""The page of references: every source that a chapter's header names, with the chapters that are built on it."""

import re
from dataclasses import dataclass, field

from docutils import nodes

from lib.chapter.notebook import Chapter

from .quotes import QuotingDirective

# An address may hold one pair of parentheses, as some DOIs do.
_LINK = re.compile(r"\[([^\]]+)\]\((https?://(?:[^()\s]|\([^()\s]*\))+)\)")
_ARXIV = re.compile(r"^https?://(?:www\.)?arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})(?:v\d+)?(?:\.pdf)?$")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")


@dataclass
class Source:
    """A text that chapters cite: its address, its longest name in their headers, and those chapters."""

    address: str
    name: str
    chapters: list[Chapter] = field(default_factory=list)

    @property
    def order(self) -> tuple[str, str]:
        """By name, then year: "Su 2020" comes before "Su 2021", and "Su and others" after both."""
        year = _YEAR.search(self.name)
        author = self.name[: year.start()] if year else self.name
        return author.strip(" ,*").casefold(), year[0] if year else ""


def normal(address: str) -> str:
    """One address for one text: arXiv's versions and formats are one, and so are the two hosts of Su's blog."""
    if arxiv := _ARXIV.match(address):
        return f"https://arxiv.org/abs/{arxiv[1]}"
    return address.replace("https://spaces.ac.cn/", "https://kexue.fm/").rstrip("/")


def named(sources: str) -> list[tuple[str, str]]:
    """Name and address of every source of a header's row.

    Where a part between semicolons has one link, the words before it belong to the name: "Zhao, [Foundations](…)".
    """
    found = []
    for part in sources.split("; "):
        links = list(_LINK.finditer(part))
        before = part[: links[0].start()] if len(links) == 1 else ""
        found += [(before + link[1], normal(link[2])) for link in links]
    return found


def all_sources(found: list[Chapter]) -> list[Source]:
    """The sources of all chapters, in the order of the page."""
    sources: dict[str, Source] = {}
    for chapter in found:
        for name, address in named(chapter.header.sources):
            source = sources.setdefault(address, Source(address, name))
            source.name = max(source.name, name, key=len)
            if chapter not in source.chapters:
                source.chapters.append(chapter)
    return sorted(sources.values(), key=lambda source: source.order)


class Sources(QuotingDirective):
    """`{sources}`: every source by name and year, linked to the chapters that cite it."""

    def run(self):
        items = []
        for source in all_sources(self.read_chapters()):
            name = self.inline(source.chapters[0], source.name)
            link = nodes.reference("", "", name, refuri=source.address)
            item = nodes.paragraph("", "", link, nodes.Text(" · "))
            for i, chapter in enumerate(source.chapters):
                item += [nodes.Text(", " if i else ""), self.link(chapter, chapter.header.title)]
            items.append(nodes.list_item("", item))
        return [nodes.bullet_list("", *items, classes=["listing", "sources"])] if items else []
