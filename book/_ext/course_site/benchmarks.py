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
    return table(head, [[shown(cell) for cell in row] for row in rows], ["results"])


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


class Recorded(SphinxDirective):
    """`{benchmark-result} name`: what a script recorded: one table open, or further tables folded, or both."""

    required_arguments = 1
    folder, anchor = "", "benchmark"

    def run(self):
        [name] = self.arguments
        root = Path(self.env.srcdir)
        found = results(root, self.folder)
        if name not in found:
            raise self.error(f"expected a result under {RESULTS / self.folder}, one of {', '.join(found)}; got {name}")
        self.env.note_dependency(str(root / RESULTS / self.folder / f"{name}.json"))
        result = found[name]
        shown = [self.with_links(result["head"], result["rows"])] if "head" in result else []
        for i, (title, one) in enumerate(result.get("results", {}).items()):
            body = [as_table(one["head"], one["rows"])]
            shown += fold(f"{self.anchor}-{name}-{i + 1}", title, count(len(one["rows"]), "row"), body)
        return [*shown, *self.facts(result)]

    def with_links(self, head: list[str], rows: list[list]) -> nodes.table:
        """The table, in which a chapter's slug is a link to it by the first words of its title."""
        listed = {entry["slug"]: (part["part"], entry["title"]) for part in syllabus() for entry in part["chapters"]}

        def cell(column: str, value) -> nodes.reference | str:
            if column != "chapter":
                return shown(value)
            part, title = listed[value]
            target = f"book/{part}/{value}"
            return make_refnode(self.env.app.builder, self.env.docname, target, "", nodes.Text(title.partition(":")[0]))

        return table(head, [list(map(cell, head, row)) for row in rows], ["results"])

    def facts(self, result: dict) -> list[nodes.paragraph]:
        return [about(result, result["what"], result["machine"])]


class OnGpu(Recorded):
    """`{gpu-result} name`: what a script of benchmarks/gpu recorded."""

    folder = anchor = "gpu"

    def facts(self, result: dict) -> list[nodes.paragraph]:
        driver = result["driver"] and f"driver {result['driver']}"
        return [about(result, result["device"], driver), nodes.paragraph("", result["beside"])]


def setup(app):
    add_files_where(app, 'class="ratios"', "benchmarks.css")
