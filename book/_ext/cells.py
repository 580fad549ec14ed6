"""Code cells on the site: every cell has an address, and a folded cell says what it holds.

The first line `#@title Checker for exercise 1` of a folded cell (Colab's own form) is its label.
"""

from html import escape

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.transforms import SphinxTransform


def cell_id(index: int) -> str:
    """The address, within its page, of the cell at a position of the notebook."""
    return f"cell-{index + 1}"


class CodeCells(SphinxTransform):
    default_priority = 180

    def apply(self):
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") != "cell_code":
                continue
            cell["ids"].append(cell_id(cell["cell_index"]))
            code = cell.next_node(nodes.literal_block)
            first_line = code.astext().partition("\n")[0] if code else ""
            if cell.get("hide_mode") and first_line.startswith("#@title "):
                label = first_line.removeprefix("#@title ").strip()
                cell["prompt_show"] = cell["prompt_hide"] = label
            for output in cell.findall(nodes.literal_block):
                if "\n✓ (" in f"\n{output.astext()}":
                    output["classes"].append("checks")


def open_fold(translator, node):
    translator.body.append(f'<details class="fold"><summary>{escape(node["prompt_show"])}</summary>\n')


def close_fold(translator, node):
    translator.body.append("</details>\n")


def setup(app):
    app.add_transform(CodeCells)
    app.add_node(HideCodeCellNode, override=True, html=(open_fold, close_fold))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
