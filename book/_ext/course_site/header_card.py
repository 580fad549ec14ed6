"""The card at the top of a chapter, made of the typed header and of what the notebook contains."""

from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform

from lib.chapter.addresses import Addresses, addresses
from lib.chapter.notebook import Chapter
from lib.chapter.reading import core_and_deeper

from .names import also_called
from .pages import chapter_of, count

ROWS = ("You will be able to", "Needs", "Sources")


def facts(chapter: Chapter) -> str:
    """One line of figures."""
    core, deeper = core_and_deeper(chapter)
    items = [f"Digest {chapter.digest}", f"{core.minutes:.0f} minutes to read"]
    if deeper.words:
        items.append(f"{deeper.minutes:.0f} deeper")
    items += [
        f"{chapter.header.minutes_to_work} to work",
        f"{count(len(chapter.claim_numbers), 'claim')} checked",
        count(len(chapter.exercises), "exercise"),
    ]
    return '<ul class="facts">' + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def buttons(chapter: Chapter, docname: str, where: Addresses) -> str:
    """The ways to run a chapter and to answer to it, for a copy of the book with or without an address."""
    top = "../" * docname.count("/")
    links = [f'<a href="{top}standalone/{chapter.slug}.ipynb" download>Standalone notebook</a>']
    notes = []
    if where.repository:
        links.append(f'<a href="{escape(where.source(f"{docname}.ipynb"))}">Source</a>')
        links.append(f'<a href="{escape(where.issues)}">Report an error</a>')
    else:
        links.append(f'<a href="{top}_sources/{docname}.ipynb" download>Source</a>')
        notes.append(
            "To report an error, write to whoever gave you this copy of the book; name the chapter and the "
            "equation or the exercise."
        )
    if colab := where.colab(chapter.slug):
        links.insert(0, f'<a href="{escape(colab)}">Open in Colab</a>')
    else:
        notes.insert(
            0,
            "To run this chapter in Colab, download the standalone notebook, open "
            '<a href="https://colab.research.google.com">Colab</a> and choose <em>File</em>, <em>Upload notebook</em>.',
        )
    row = '<p class="buttons">' + " ".join(links) + "</p>"
    return row + (f'<p class="notes">{" ".join(notes)}</p>' if notes else "")


def definition(item: nodes.list_item) -> tuple[str, nodes.definition_list_item]:
    """A row `**Name:** text` of the typed header as a term and its definition."""
    paragraph = item.children[0]
    strong = paragraph.next_node(nodes.strong)
    paragraph.remove(strong)
    name = strong.astext().removesuffix(":")
    return name, nodes.definition_list_item("", nodes.term("", name), nodes.definition("", paragraph))


class HeaderCard(SphinxTransform):
    def apply(self):
        chapter = chapter_of(self.env)
        if not (chapter and chapter.has_header):  # the build reports a missing header
            return
        section = self.document.next_node(nodes.section)
        note, rows = section.next_node(nodes.block_quote), section.next_node(nodes.bullet_list)
        items = dict(definition(item) for item in rows.children)
        card = nodes.container(
            "",
            nodes.container("", *note.children, classes=["source-note"]),
            nodes.definition_list("", *also_called(chapter.slug), *[items[name] for name in ROWS]),
            nodes.raw("", facts(chapter) + buttons(chapter, self.env.docname, addresses()), format="html"),
            classes=["header-card"],
        )
        rows.parent.remove(rows)
        note.replace_self(card)
        for file in ("_config.yml", "book/syllabus.yml"):
            self.env.note_dependency(str(Path(self.env.srcdir, file)))
