"""Tables on the page of what was timed."""

from course_site.benchmarks import MOST_COLUMNS, as_table
from docutils import nodes


def shown(table: nodes.table) -> list[list[str]]:
    return [[entry.astext() for entry in row.findall(nodes.entry)] for row in table.findall(nodes.row)]


def test_a_table_that_is_too_wide_is_turned():
    head, rows = [f"c{i}" for i in range(MOST_COLUMNS + 1)], [list(range(MOST_COLUMNS + 1)), [0.5] * (MOST_COLUMNS + 1)]
    assert shown(as_table(head, rows))[:2] == [["c0", "0", "0.5"], ["c1", "1", "0.5"]]
    assert shown(as_table(head[:3], [row[:3] for row in rows])) == [["c0", "c1", "c2"], ["0", "1", "2"], ["0.5"] * 3]
    assert shown(as_table(head, rows * MOST_COLUMNS))[0] == head, "turned, it would be as wide"
