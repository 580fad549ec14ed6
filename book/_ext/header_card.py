"""The card at the top of a chapter, made of the typed header and of what the notebook contains."""

from __future__ import annotations

from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform

from addresses import Addresses, addresses
from chapters import Chapter

ROWS = ("You will be able to", "Needs", "Sources")


def count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def facts(chapter: Chapter) -> str:
    """One line of figures."""
    header = chapter.header
    items = [
        f"Digest {chapter.digest}",
        f"{header.minutes_to_read} minutes to read",
        f"{header.minutes_to_work} to work",
        f"{count(len(chapter.claim_numbers), 'claim')} checked",
        count(len(chapter.exercises), "exercise"),
    ]
    return '<ul class="facts">' + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def buttons(chapter: Chapter, docname: str, where: Addresses) -> str:
    """The ways to run a chapter and to answer to it, for a copy of the book with or without an address."""
    top = "../" * docname.count("/")
    standalone = f"{top}standalone/{chapter.slug}.ipynb"
    source = where.source(f"{docname}.ipynb")
    links = [f'<a href="{escape(where.colab(chapter.slug))}">Open in Colab</a>'] if where.colab(chapter.slug) else []
    links.append(f'<a href="{standalone}" download>Standalone notebook</a>')
    if source:
        links.append(f'<a href="{escape(source)}">Source</a>')
    else:
        links.append(f'<a href="{top}_sources/{docname}.ipynb" download>Source</a>')
    notes = []
    if not where.colab(chapter.slug):
        notes.append(
            "To run this chapter in Colab, download the standalone notebook, open "
            '<a href="https://colab.research.google.com">Colab</a> and choose <em>File</em>, <em>Upload notebook</em>.'
        )
    if where.issues:
        links.append(f'<a href="{escape(where.issues)}">Report an error</a>')
    else:
        notes.append(
            "To report an error, write to whoever gave you this copy of the book; name the chapter and the "
            "equation or the exercise."
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
    """Runs before call-outs are made, since the source note is typed as one."""

    default_priority = 190

    def apply(self):
        docname = self.env.docname
        path = Path(self.env.doc2path(docname))
        if path.suffix != ".ipynb":
            return
        chapter = Chapter(path)
        if not chapter.has_header:  # equations.report_problems says so
            return
        section = self.document.next_node(nodes.section)
        note, rows = section.next_node(nodes.block_quote), section.next_node(nodes.bullet_list)
        items = dict(definition(item) for item in rows.children)
        card = nodes.container(
            "",
            nodes.container("", *note.children, classes=["source-note"]),
            nodes.definition_list("", *[items[name] for name in ROWS]),
            nodes.raw("", facts(chapter) + buttons(chapter, docname, addresses()), format="html"),
            classes=["header-card"],
        )
        rows.parent.remove(rows)
        note.replace_self(card)
        self.env.note_dependency(str(Path(self.env.srcdir, "_config.yml")))


def setup(app):
    app.add_transform(HeaderCard)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
