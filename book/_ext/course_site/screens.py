"""Narrow screens: tables that stack, each cell with its column's name, and boxes that show where they scroll."""

from html import escape

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator

from .pages import add_files_where


def column_name(cell: nodes.entry) -> str:
    """What stands at the head of a cell's column; nothing for a cell of the head itself, or of a table without one."""
    row, table = cell.parent, cell.parent.parent.parent
    head = table.next_node(nodes.thead)
    if head is None or row.parent is head:
        return ""
    return head[0][row.index(cell)].astext()


def open_cell(translator: HTML5Translator, cell: nodes.entry) -> None:
    HTML5Translator.visit_entry(translator, cell)
    if name := column_name(cell):
        translator.body[-1] = translator.body[-1].replace("<td", f'<td data-label="{escape(name)}"', 1)


def setup(app):
    app.add_node(nodes.entry, override=True, html=(open_cell, HTML5Translator.depart_entry))
    app.add_css_file("scroll.css")
    app.add_js_file("scroll.js", loading_method="defer")
    add_files_where(app, "<table", "tables.css")
