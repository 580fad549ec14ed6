"""References such as "(15)" in the text lead to their equation, of this chapter or of one that is named beside them.

A number in parentheses is not always an equation of the page. Where the words around it leave a doubt it stays text.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_refnode

from lib.chapter.anchors import equation_anchor
from lib.chapter.book import chapters
from lib.chapter.notebook import Chapter

from .pages import add_files_where, chapter_of

CLASS = "equation-reference"
_UNTOUCHED = (
    nodes.title, nodes.rubric, nodes.reference, nodes.literal, nodes.math, nodes.raw, nodes.FixedTextElement,
    addnodes.pending_xref, addnodes.download_reference,
)  # fmt: skip

_NUMBER = re.compile(r"(?<![^\s(\[“‘–—-])\((D?\d+)\)(?![\w(/])")  # not a function's argument, as in "TD(0)"
_RUN = r"(?:(?:,? (?:and|or|to) |, |[–-])\(D?\d+\))*"  # the further numbers of "(3), (4) and (6)"
_OF = re.compile(rf"{_RUN}\s(?:of|in)\s$")
_OF_A_SOURCE = re.compile(rf"{_RUN}\s(?:of|in)\s(?:the|their|his|her|its|this|that)\s(?:\w+\s)?"
                          r"(?:paper|post|article|book|report|note|thesis|appendix)\b")  # fmt: skip
_OTHER_THING = re.compile(
    r"\b(?:exercise|section|table|figure|chapter|theorem|lemma|proposition|corollary|appendix|volume)s?\s$"
    r"|\w['’]s\s$"  # "Su's (7)", "the paper's (4)"
    r"|(?:^|\s)\d+\s$",  # a journal's "5 (2)"
    re.I,
)
_POSSESSIVE = re.compile(r"^['’]s\s(?:(?:claim|equation)s?\s)?$")
_LIST = re.compile(r"(?:^|[:;]\s)\(1\)\s\w.*[,;.]\s(?:and\s|or\s)?\(2\)\s\w", re.S)
_ORIGINS = "Where the numbers come from."
_ITS_EQUATION = re.compile(r"\bequations?\b[^.;]*$", re.I)


def is_list(paragraph: str) -> bool:
    """Whether a paragraph numbers its own points: "(1) the first, (2) the second"."""
    return bool(_LIST.search(paragraph))


def is_of_a_source(before: str, after: str, paragraph: str) -> bool:
    """Whether the words around a number say that it is an equation, a theorem or the like of somebody else."""
    if paragraph.startswith(_ORIGINS) and _ITS_EQUATION.search(before):
        return True
    return bool(_OTHER_THING.search(before) or _OF_A_SOURCE.match(after))


class EquationReferences(SphinxTransform):
    """Make each reference to a numbered equation a link."""

    def apply(self):
        if chapter := chapter_of(self.env):
            References(self.env, chapter).link_in(self.document)


class References:
    """Links the numbers in texts of one chapter, on its page or on the page that is being read and quotes it."""

    def __init__(self, env, chapter: Chapter):
        self.env, self.chapter = env, chapter

    def link_in(self, root: nodes.Node):
        for text in list(root.findall(nodes.Text)):
            if _NUMBER.search(text) and not within(text, _UNTOUCHED):
                self.link_numbers(text)

    def link_numbers(self, text: nodes.Text):
        paragraph = paragraph_of(text).astext()
        if is_list(paragraph):
            return
        parent = text.parent
        at = next(i for i, child in enumerate(parent.children) if child is text)
        previous = parent[at - 1] if at else None
        following = parent[at + 1] if at + 1 < len(parent) else None
        pieces, end = [], 0
        for number in _NUMBER.finditer(text):
            before, after = text[: number.start()], text[number.end() :]
            if not before and isinstance(previous, (nodes.math, nodes.literal)):  # an argument: f(2)
                continue
            if is_of_a_source(before, after, paragraph):
                continue
            owner = self.chapter
            if following is not None and _OF.match(after):
                owner = self.named(following)
            elif previous is not None and _POSSESSIVE.match(before):
                owner = self.named(previous)
            if owner and number[1] in {equation.tag for equation in owner.equations}:
                pieces += [nodes.Text(text[end : number.start()]), self.link(owner, number[1])]
                end = number.end()
        if pieces:
            parent[at : at + 1] = [piece for piece in [*pieces, nodes.Text(text[end:])] if piece.astext()]

    def named(self, node: nodes.Node) -> Chapter | None:
        """The chapter that a link leads to, or whose title stands in italics; None for anything else.

        Any other node after "(3) of" is a part of this chapter's own sentence.
        """
        if isinstance(node, addnodes.pending_xref):
            path = Path(self.env.doc2path(node["reftarget"].partition("#")[0]))
            return Chapter(path) if path.suffix == ".ipynb" else None
        if isinstance(node, nodes.emphasis):
            name = node.astext()
            for chapter in chapters(Path(self.env.srcdir)):
                if chapter.has_header and name in (chapter.header.title, chapter.header.title.partition(":")[0]):
                    return chapter
            return None
        return None if isinstance(node, nodes.reference) else self.chapter

    def link(self, owner: Chapter, tag: str) -> nodes.reference:
        """A link to an equation; one of this page is shown in a preview as well."""
        anchor, label = equation_anchor(tag), nodes.Text(f"({tag})")
        docname = self.env.path2doc(str(owner.path))
        if docname == self.env.docname:
            return nodes.reference("", "", label, refid=anchor, internal=True, classes=[CLASS])
        self.env.note_dependency(str(owner.path))
        return make_refnode(self.env.app.builder, self.env.docname, docname, anchor, label)


def within(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def paragraph_of(text: nodes.Text) -> nodes.Element:
    """The whole paragraph, or the like, that a text is a part of."""
    node = text.parent
    while isinstance(node, nodes.Inline):
        node = node.parent
    return node


def setup(app):
    add_files_where(app, f'class="{CLASS}', "references.css", "references.js")
