"""The page of every digest: what it says, what its chapter corrects, and where both come from."""

from docutils import nodes

from lib.chapter.book import syllabus
from lib.chapter.notebook import Chapter

from .pages import chinese
from .quotes import QuotingDirective, beginning

LINE = 60  # characters; one short sentence says too little of a correction


class Digests(QuotingDirective):
    """`{digests}`: part by part, the digests whose chapters are written, and a line for the others."""

    def run(self):
        written = {chapter.digest: chapter for chapter in self.read_chapters()}
        return [self.part(part, written) for part in syllabus()]

    def part(self, part: dict, written: dict[str, Chapter]) -> nodes.section:
        section = nodes.section("", nodes.title("", part["title"]), ids=[part["part"]], classes=["listing", "digests"])
        for entry in part["chapters"]:
            if chapter := written.get(entry["digest"]):
                section += self.digest(entry, chapter)
        if others := [entry for entry in part["chapters"] if entry["digest"] not in written]:
            section += self.unwritten(others)
        return section

    def digest(self, entry: dict, chapter: Chapter) -> nodes.container:
        link = self.link(chapter, chapter.header.title)
        head = nodes.paragraph("", f"{entry['digest']} · ", link, nodes.Text(" · "), chinese(entry["zh"]))
        head["classes"].append("digest-title")
        rows = [("The note", self.blocks(chapter, chapter.header.source_note))]
        if chapter.corrections:
            rows.append(("Corrected", [nodes.bullet_list("", *[self.line(chapter, c) for c in chapter.corrections])]))
        rows.append(("Sources", self.blocks(chapter, chapter.header.sources)))
        facts = nodes.definition_list()
        for name, body in rows:
            facts += nodes.definition_list_item("", nodes.term("", name), nodes.definition("", *body))
        return nodes.container("", head, facts, ids=[f"digest-{entry['digest']}"], classes=["digest"])

    def line(self, chapter: Chapter, correction) -> nodes.list_item:
        says = self.inline(chapter, beginning(correction.text, LINE))
        return nodes.list_item("", nodes.paragraph("", "", says, nodes.Text(" "), self.more(chapter, correction)))

    def more(self, chapter: Chapter, correction) -> nodes.reference:
        return self.link(chapter, "In full", correction.anchor)

    def unwritten(self, entries: list[dict]) -> nodes.paragraph:
        """One line for all chapters of a part that are still to come."""
        line = nodes.paragraph("", "Not yet written: ", classes=["unwritten"])
        for i, entry in enumerate(entries):
            text = f"{', ' if i else ''}{entry['digest']} {entry['title']} ("
            line += [nodes.Text(text), chinese(entry["zh"]), nodes.Text(")")]
        line += nodes.Text(".")
        return line
