"""Narrow screens: each cell of a table knows its column's name."""

from course_site.pages import table
from course_site.screens import column_name
from docutils import nodes


def test_a_cell_knows_the_name_of_its_column():
    made = table(["Library", "Function"], [["torch", nodes.literal("", "relu")], ["scipy", "expm"]], [])
    names = [column_name(cell) for cell in made.findall(nodes.entry)]
    assert names == ["", "", "Library", "Function", "Library", "Function"]


def test_a_table_without_a_head_names_nothing():
    made = table([], [["torch", "relu"]], [])
    made[0].remove(made.next_node(nodes.thead))
    assert [column_name(cell) for cell in made.findall(nodes.entry)] == ["", ""]
