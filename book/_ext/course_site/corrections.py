"""The page of every correction: where notes, papers and usual retellings are wrong, with the checks that show it."""

import re

from docutils import nodes

from lib.chapter.anchors import equation_anchor
from lib.chapter.notebook import Chapter, Correction

from .pages import count
from .quotes import QuotingDirective

_ADDRESS = re.compile(r"#eq-(\d+)$")


class Corrections(QuotingDirective):
    """`{corrections}`: every correction, chapter by chapter."""

    def run(self):
        found = [chapter for chapter in self.read_chapters() if chapter.corrections]
        total = sum(len(chapter.corrections) for chapter in found)
        says = f"{count(total, 'correction')} in {count(len(found), 'chapter')}."
        return [nodes.paragraph("", says), *[self.section(chapter) for chapter in found]]

    def section(self, chapter: Chapter) -> nodes.section:
        title = nodes.title("", "", self.link(chapter, chapter.header.title))
        items = [self.item(chapter, correction) for correction in chapter.corrections]
        name = f"corrections-{chapter.slug}"
        return nodes.section("", title, nodes.bullet_list("", *items), ids=[name], classes=["listing", "corrections"])

    def item(self, chapter: Chapter, correction: Correction) -> nodes.list_item:
        body = self.blocks(chapter, correction.text)
        place = nodes.paragraph("", "", self.link(chapter, "In its place", correction.anchor), classes=["after"])
        for number, kinds in self.checks(chapter, body).items():
            place += [nodes.Text(" · "), self.link(chapter, f"equation ({number})", equation_anchor(str(number)))]
            for i, (kind, cell) in enumerate(kinds):
                place += [nodes.Text(", " if i else " checked: "), self.link(chapter, kind, chapter.anchor(cell))]
        return nodes.list_item("", *body, place)

    def checks(self, chapter: Chapter, body: list[nodes.Node]) -> dict[int, list[tuple[str, int]]]:
        """The chapter's equations that a correction names, each with the kinds and cells of its checks."""
        page = self.env.app.builder.get_relative_uri(self.env.docname, self.docname(chapter))
        named = set()
        for link in [link for block in body for link in block.findall(nodes.reference)]:
            address = link.get("refuri", "")
            if address.startswith(page) and (number := _ADDRESS.search(address)):
                named.add(int(number[1]))
        found = {number: [] for number in sorted(named)}
        for check in chapter.checks:
            if check.number in found and (check.kind, check.cell) not in found[check.number]:
                found[check.number].append((check.kind, check.cell))
        return found
