"""The first screen of a chapter, made of the typed header and of what the notebook contains.

The question, the first figure in small, what a reader will be able to do, what it needs and how long it takes; all that
only some readers look for is folded below it.
"""

from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform

from lib.chapter.addresses import Addresses, addresses
from lib.chapter.notebook import Chapter
from lib.chapter.reading import core_and_deeper

from .citing import cite
from .names import also_called
from .pages import add_files_where, chapter_of, count

FIRST_PICTURE = "first-picture"
SUMMARY = "About this chapter: sources, citing, errors"


def facts(chapter: Chapter) -> str:
    """One line of figures."""
    core, deeper = core_and_deeper(chapter)
    items = [f"{core.minutes:.0f} minutes to read"]
    if deeper.words:
        items.append(f"{deeper.minutes:.0f} deeper")
    items += [
        f"{chapter.header.minutes_to_work} to work",
        f"{count(len(chapter.claim_numbers), 'claim')} checked",
        count(len(chapter.exercises), "exercise"),
    ]
    return '<ul class="facts">' + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def buttons(chapter: Chapter, docname: str, where: Addresses) -> str:
    """The ways to run a chapter."""
    top = "../" * docname.count("/")
    links = [f'<a href="{top}standalone/{chapter.slug}.ipynb" download>Standalone notebook</a>']
    if colab := where.colab(chapter.slug):
        links.insert(0, f'<a href="{escape(colab)}">Open in Colab</a>')
    return '<p class="buttons">' + " ".join(links) + "</p>"


def how_to_run(docname: str, where: Addresses) -> str:
    """What the buttons do not say, for a copy of the book with or without an address."""
    if where.repository:
        return f'The notebook as it was written: <a href="{escape(where.source(f"{docname}.ipynb"))}">source</a>.'
    source = "../" * docname.count("/") + f"_sources/{docname}.ipynb"
    return (
        "To run this chapter in Colab, download the standalone notebook, open "
        '<a href="https://colab.research.google.com">Colab</a> and choose <em>File</em>, <em>Upload notebook</em>. '
        f'The notebook as it was written: <a href="{source}" download>source</a>.'
    )


def how_to_report(where: Addresses) -> str:
    """Where errors go: to the repository's issues, or to the people from whom the reader has the book."""
    if where.issues:
        return f'<a href="{escape(where.issues)}">Report an error</a>: name the chapter and the equation or the exercise.'
    return "Write to whoever gave you this copy of the book; name the chapter and the equation or the exercise."


def row_of(item: nodes.list_item) -> tuple[str, nodes.paragraph]:
    """A row `**Name:** text` of the typed header as its name and the paragraph of its text."""
    paragraph = item.children[0]
    strong = paragraph.next_node(nodes.strong)
    after = paragraph.index(strong) + 1
    paragraph[: after + 1] = [nodes.Text(paragraph[after].lstrip())]
    return strong.astext().removesuffix(":"), paragraph


def parts(paragraph: nodes.paragraph) -> nodes.bullet_list:
    """What semicolons separate, as a list."""
    found = nodes.bullet_list("", classes=["outcomes"])
    inline = nodes.paragraph()
    for child in paragraph.children:
        pieces = child.split(";") if isinstance(child, nodes.Text) else [child]
        for number, piece in enumerate(pieces):
            if number:
                found += nodes.list_item("", inline)
                inline, piece = nodes.paragraph(), piece.lstrip()
            inline += nodes.Text(piece) if isinstance(piece, str) else piece
    found += nodes.list_item("", inline)
    return found


def definition(name: str, *content: nodes.Node) -> nodes.definition_list_item:
    return nodes.definition_list_item("", nodes.term("", name), nodes.definition("", *content))


def html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


class HeaderCard(SphinxTransform):
    def apply(self):
        chapter = chapter_of(self.env)
        if not (chapter and chapter.has_header):  # the build reports a missing header
            return
        section = self.document.next_node(nodes.section)
        note, typed = section.next_node(nodes.block_quote), section.next_node(nodes.bullet_list)
        rows, where = dict(row_of(item) for item in typed.children), addresses()
        rows["Question"]["classes"].append("question")
        rows["Needs"][:0] = [nodes.strong("", "Needs"), nodes.Text(" ")]
        card = nodes.container(
            "",
            *self.first_picture(),
            rows["Question"],
            nodes.paragraph("", "", nodes.strong("", "You will be able to")),
            parts(rows["You will be able to"]),
            rows["Needs"],
            html(facts(chapter) + buttons(chapter, self.env.docname, where)),
            html(f'<details class="fold about"><summary>{SUMMARY}</summary>'),
            nodes.container("", *note.children, classes=["source-note"]),
            nodes.definition_list("", *self.about(chapter, rows["Sources"], where)),
            html("</details>"),
            classes=["header-card"],
        )
        typed.parent.remove(typed)
        note.replace_self(card)
        for file in ("_config.yml", "book/syllabus.yml"):
            self.env.note_dependency(str(Path(self.env.srcdir, file)))

    def first_picture(self) -> list[nodes.image]:
        """The first figure again, in small; it is described where it stands."""
        figure = self.document.next_node(nodes.figure)
        if figure is None:
            return []
        return [nodes.image("", uri=figure.next_node(nodes.image)["uri"], alt="", classes=[FIRST_PICTURE])]

    def about(self, chapter: Chapter, sources: nodes.paragraph, where: Addresses) -> list[nodes.definition_list_item]:
        docname, config = self.env.docname, self.env.config
        address = where.site and f"{where.site}/{docname}.html"
        citation = cite(chapter, config.project, config.author, config.copyright, address)
        return [
            definition("Sources", sources),
            *also_called(chapter.slug),
            definition("Digest", nodes.paragraph("", chapter.digest)),
            definition("How to run it", html(f"<p>{how_to_run(docname, where)}</p>")),
            definition("Cite this chapter", html(citation)),
            definition("Report an error", html(f"<p>{how_to_report(where)}</p>")),
        ]


def setup(app):
    add_files_where(app, 'class="header-card', "header_card.css")
