"""What was timed: every benchmark beside a peer as a dot of one drawing, and every recorded result as a table."""

import json
import math
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from lib.chapter.book import syllabus

from .pages import add_files_where, count, fold, table

MOST_COLUMNS = 12  # that a page has room for
RESULTS = Path("benchmarks", "results")
LEAST, MOST = 1 / 64, 4  # ratios beyond are drawn at the edge
WIDTH, LEFT, RIGHT, STRIP, TOP = 720, 130, 16, 26, 30


def results(root: Path, folder: str = "") -> dict[str, dict]:
    """The results of a folder under benchmarks/results/, by the names of their files."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(root, RESULTS, folder).glob("*.json"))}


def ratios(result: dict) -> dict[str, float]:
    """Ours ÷ the peer's by the row's name; nothing of a result that has no peer."""
    if "ratio" not in result["head"] or not result["head"][0].startswith("ours"):
        return {}
    at = result["head"].index("ratio")
    return {row[0]: row[at] for row in result["rows"]}


def place(ratio: float) -> float:
    """The distance of a ratio from the drawing's left edge, by its logarithm."""
    share = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def drawing(found: dict[str, dict[str, float]]) -> str:
    """A strip for each benchmark, a dot for each row; left of the line at 1 is faster than the peer."""
    height = TOP + STRIP * len(found) + 6
    marks = []
    for power in range(-6, 3):
        x, label = place(2**power), f"1/{2**-power}" if power < 0 else str(2**power)
        marks.append(f'<path class="{"one" if power == 0 else "grid"}" d="M{x:.1f} {TOP - 6}V{height - 4}"/>')
        marks.append(f'<text class="scale" x="{x:.1f}" y="{TOP - 12}">{label}</text>')
    for i, (name, rows) in enumerate(found.items()):
        y = TOP + STRIP * i + STRIP // 2
        marks.append(f'<text x="0" y="{y + 4}">{escape(name.replace("_", " "))}</text>')
        marks += [
            f'<circle class="{"slower" if ratio > 1 else "faster"}" cx="{place(ratio):.1f}" cy="{y}" r="5">'
            f"<title>{escape(row)}: {ratio:.2f}</title></circle>"
            for row, ratio in rows.items()
        ]
    return (
        f'<div class="ratios" role="region" aria-label="Ratios of time" tabindex="0"><svg viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="ratios-title"><title id="ratios-title">Time of '
        f"ours ÷ time of the peer, one dot for each row of the tables below</title>{''.join(marks)}</svg></div>"
    )


def shown(cell) -> str:
    """A cell of a recorded table, to four digits."""
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return "" if cell is None else str(cell)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}" if abs(cell) < 1e4 else f"{cell:,.0f}"


def about(result: dict, *facts: str | None) -> nodes.paragraph:
    """The line that says where, when and by which command a result was measured."""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items() if number)
    said = [*filter(None, facts), result["date"], f"commit {result['commit']}", versions]
    line = nodes.paragraph("", " · ".join(said), classes=["after"])
    if command := result.get("command"):
        line += [nodes.Text(" · "), nodes.literal(command, command)]
    return line


def as_table(head: list[str], rows: list[list]) -> nodes.table:
    """A table of results; one with more columns than a page has room for is turned on its side, if that makes fewer."""
    lines = [head, *([shown(cell) for cell in row] for row in rows)]
    if len(head) > MOST_COLUMNS >= len(lines):
        lines = [list(column) for column in zip(*lines, strict=True)]
    return table(lines[0], lines[1:], ["results"])


class Ratios(SphinxDirective):
    """`{benchmark-ratios}`: the drawing of all rows that have a peer, and each benchmark's table, folded."""

    def run(self):
        root = Path(self.env.srcdir)
        found = {name: (result, rows) for name, result in results(root).items() if (rows := ratios(result))}
        every = [ratio for _, rows in found.values() for ratio in rows.values()]
        faster = sum(ratio <= 1 for ratio in every)
        says = f"{count(len(every), 'row')} beside a peer in {count(len(found), 'benchmark')}; in {faster} ours takes no more time."
        folds = []
        for name, (result, rows) in found.items():
            self.env.note_dependency(str(root / RESULTS / f"{name}.json"))
            body = [about(result, result["what"], result["machine"]), as_table(result["head"], result["rows"])]
            folds += fold(f"benchmark-{name}", name.replace("_", " "), count(len(rows), "row"), body)
        chart = nodes.raw("", drawing({name: rows for name, (_, rows) in found.items()}), format="html")
        return [nodes.paragraph("", says), chart, *folds]


class OnGpu(SphinxDirective):
    """`{gpu-result} name`: what a script of benchmarks/gpu recorded, each of its tables folded."""

    required_arguments = 1

    def run(self):
        [name] = self.arguments
        found = results(Path(self.env.srcdir), "gpu")
        if name not in found:
            raise self.error(f"expected a result under {RESULTS}/gpu, one of {', '.join(found)}; got {name}")
        self.env.note_dependency(str(Path(self.env.srcdir, RESULTS, "gpu", f"{name}.json")))
        result = found[name]
        driver = result["driver"] and f"driver {result['driver']}"
        folds = []
        for i, (title, one) in enumerate(result["results"].items()):
            folds += fold(f"gpu-{name}-{i + 1}", title, count(len(one["rows"]), "row"), [as_table(one["head"], one["rows"])])
        return [*folds, about(result, result["device"], driver), nodes.paragraph("", result["beside"])]


class Growth(SphinxDirective):
    """`{growth}`: exponents beside those that the chapters count, then why some differ; folded, every size.

    A method's name leads to its chapter.
    """

    def run(self):
        root = Path(self.env.srcdir)
        self.env.note_dependency(str(root / RESULTS / "growth.json"))
        result = results(root)["growth"]
        rows = [dict(zip(result["head"], row, strict=True)) for row in result["rows"]]
        reasons = [nodes.list_item("", nodes.paragraph("", f"{row['method']}: {row['why']}")) for row in rows if row["why"]]
        folds = []
        for i, (title, one) in enumerate(result["results"].items()):
            folds += fold(f"growth-{i + 1}", title, count(len(one["rows"]), "row"), [as_table(one["head"], one["rows"])])
        return [self.exponents(rows), nodes.bullet_list("", *reasons), *folds, about(result, result["what"], result["machine"])]

    def exponents(self, rows: list[dict]) -> nodes.table:
        parts = {entry["slug"]: part["part"] for part in syllabus() for entry in part["chapters"]}
        head = ["method", "sizes", "operations", "time", "counted", "memory", "counted"]

        def cells(row: dict) -> list[nodes.reference | str]:
            chapter = f"book/{parts[row['chapter']]}/{row['chapter']}"
            link = make_refnode(self.env.app.builder, self.env.docname, chapter, "", nodes.Text(row["method"]))
            four = ("time exponent", "theory, time", "memory exponent", "theory, memory")
            return [link, f"{row['grows']}, {row['from']:,} to {row['to']:,}", row["operations"], *(f"{row[name]:z.2f}" for name in four)]

        return table(head, list(map(cells, rows)), ["results"])


def setup(app):
    add_files_where(app, 'class="ratios"', "benchmarks.css")
