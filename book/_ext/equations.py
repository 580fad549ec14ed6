"""Displayed mathematics: numbered blocks reach MathJax as typed, and every claim shows the tick of its check."""

from __future__ import annotations

import re
from html import escape
from itertools import groupby
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from cells import cell_id
from chapters import Chapter, Check, chapter_paths

LOGGER = logging.getLogger(__name__)
_TAG = re.compile(r"\\tag\{(D?\d+)\}")


def equation_id(tag: str) -> str:
    """The address, within its page, of a numbered equation."""
    return f"eq-{tag}"


def problems(chapter: Chapter) -> list[str]:
    """Why a chapter may not be published: its header, equations without a check, checks without an equation."""
    found = []
    try:
        chapter.header
    except ValueError as error:
        found.append(f"{error}. Type the header as CONTRIBUTING.md shows it.")
    for number in sorted(chapter.unchecked):
        found.append(
            f"equation ({number}) has no passing check in the stored outputs. Call a function of lib.course.claims "
            f"with the number {number} and execute the notebook, or make it a definition, \\tag{{D…}} with :=."
        )
    for number in sorted(chapter.strays):
        cells = ", ".join(str(check.cell + 1) for check in chapter.checks if check.number == number)
        found.append(
            f"a check prints ({number}) in cell {cells}, but no equation has \\tag{{{number}}}. "
            "Number the equation or mend the check's number."
        )
    return found


def report_problems(app, env, docnames):
    """Every build says so, not only the one that reads a changed chapter."""
    for path in chapter_paths(Path(app.srcdir)):
        for problem in problems(Chapter(path)):
            LOGGER.warning(problem, location=(env.path2doc(str(path)), None), type="course")


class LiftDisplays(SphinxTransform):
    """A display typed without blank lines around it stands inside a paragraph, which HTML does not allow."""

    default_priority = 205

    def apply(self):
        for paragraph in list(self.document.findall(nodes.paragraph)):
            if not any(isinstance(child, nodes.math_block) for child in paragraph.children):
                continue
            pieces = []
            for is_display, run in groupby(paragraph.children, lambda child: isinstance(child, nodes.math_block)):
                run = list(run)
                if is_display:
                    pieces += run
                elif any(child.astext().strip() for child in run):
                    pieces.append(nodes.paragraph("", "", *run))
            paragraph.replace_self(pieces)


class Ticks(SphinxTransform):
    """Give every numbered equation its address and, if it is a claim, a tick for each cell that checks it."""

    default_priority = 210

    def apply(self):
        path = Path(self.env.doc2path(self.env.docname))
        if path.suffix != ".ipynb":
            return
        checks = Chapter(path).checks
        for display in list(self.document.findall(nodes.math_block)):
            tags = _TAG.findall(display.astext())
            if not tags:
                continue
            row = nodes.container(classes=["equation"], ids=[equation_id(tag) for tag in tags])
            display.replace_self(row)
            row += display
            ticks = [tick(checks, tag, cell) for tag in tags for cell in checking_cells(checks, tag)]
            if ticks:
                row += nodes.raw("", f'<p class="ticks">{"".join(ticks)}</p>', format="html")


def checking_cells(checks: list[Check], tag: str) -> list[int]:
    return sorted({check.cell for check in checks if str(check.number) == tag})


def tick(checks: list[Check], tag: str, cell: int) -> str:
    """A link from an equation to a cell that checks it; it says what the cell shows."""
    here = [check for check in checks if check.cell == cell and str(check.number) == tag]
    says = "; ".join(f"{check.kind}, {check.threshold}: {check.what}" for check in here)
    label = escape(f"Equation ({tag}) is checked. {says}")
    return f'<a class="tick" href="#{cell_id(cell)}" title="{label}" aria-label="{label}">✓</a>'


class NumberedMath(SphinxPostTransform):
    """Sphinx wraps several lines in `split`, where MathJax refuses a `\\tag`: hand numbered displays over as typed."""

    default_priority = 400
    formats = ("html",)

    def run(self, **kwargs):
        for display in self.document.findall(nodes.math_block):
            if _TAG.search(display.astext()):
                text = rf"\[{display.astext()}\]"
                display["nowrap"] = True
                display.children = [nodes.Text(text)]


def setup(app):
    app.connect("env-before-read-docs", report_problems)
    app.add_transform(LiftDisplays)
    app.add_transform(Ticks)
    app.add_post_transform(NumberedMath)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
