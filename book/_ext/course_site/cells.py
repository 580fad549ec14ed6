"""Code cells on the site: every cell has an address, and a folded cell says what it holds."""

from html import escape

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

from lib.chapter.anchors import cell_anchor, fold_anchor
from lib.course.line import parse

from .pages import chapter_of


KINDS = {"Check of ": "check", "Checker for exercise ": "exercise", "Solution to exercise ": "exercise"}


class CodeCells(SphinxTransform):
    """A fold is labelled with the cell's title, `#@title Checker for exercise 1`, which is Colab's own form."""

    def apply(self):
        chapter = chapter_of(self.env)
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") != "cell_code":
                continue
            index = cell["cell_index"]
            cell["ids"].append(cell_anchor(index))
            if cell.get("hide_mode") and chapter.title(index):
                cell["prompt_show"] = cell["prompt_hide"] = chapter.title(index)
            for output in cell.findall(nodes.literal_block):
                if parse(output.astext())[0]:
                    output["classes"].append("checks")


class Folds(SphinxPostTransform):
    """Tell every fold, which myst-nb has made by now, the position of its cell."""

    formats = ("html",)

    def run(self, **kwargs):
        for cell in self.document.findall(nodes.container):
            for fold in cell.children if cell.get("nb_element") == "cell_code" else []:
                if isinstance(fold, HideCodeCellNode):
                    fold["cell_index"] = cell["cell_index"]


def open_fold(translator, node):
    """The anchor lies within the fold, so that a link to it opens the fold also without scripts."""
    title = node["prompt_show"]
    kind = next((f" {kind}" for words, kind in KINDS.items() if title.startswith(words)), "")
    anchor = fold_anchor(node["cell_index"])
    translator.body.append(f'<details class="fold{kind}"><summary>{escape(title)}</summary>\n<div id="{anchor}">\n')


def close_fold(translator, node):
    translator.body.append("</div>\n</details>\n")


def setup(app):
    app.add_node(HideCodeCellNode, override=True, html=(open_fold, close_fold))
