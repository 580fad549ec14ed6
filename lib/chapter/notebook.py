"""What a chapter notebook says of itself, read from its cells and stored outputs.

An equation, a check, an exercise and the header mean the same to the site, to the contract and to the tools, because
all of them read chapters here.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from pathlib import Path

from lib.chapter.anchors import cell_anchor, correction_anchor, exercise_anchor, fold_anchor
from lib.course.line import Line, parse
from lib.course.shapes import checked_after_errors

FOLDED = frozenset({"hide-cell", "hide-input"})
EXEMPT = "nbval-ignore-output"
TAG = re.compile(r"\\tag\{(D?\d+)\}")
PRODUCTION_HEAD = ("Library", "Function", "What it does", "What follows")

_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.M | re.S)
_DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.S)
_EXERCISE = re.compile(r"^### Exercise (\d+) (★{1,3}) · (.+?) · (\d+) minutes$", re.M)
_HEADER_ROW = re.compile(
    r"^- \*\*(Question|Sources|You will be able to|Needs|Time):\*\* (.+?)(?=\n- \*\*|\Z)", re.M | re.S
)
_TO_WORK = re.compile(r"(\d+) (?:minutes )?to work")
_CORRECTION = re.compile(r"^> \*\*Correction\.\*\* (.+(?:\n>.*)*)", re.M)
_PRODUCTION = re.compile(r"^## In production *$(.*?)(?=^##? |\Z)", re.M | re.S)
_PIPE = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Equation:
    """A displayed formula; `tag` is "3", "D1" or None for a display without a number."""

    tag: str | None
    tex: str
    cell: int

    @property
    def is_claim(self) -> bool:
        return bool(self.tag and self.tag.isdigit())


@dataclass(frozen=True)
class Check(Line):
    """The line of a check that passed, and the cell that printed it."""

    cell: int = field(kw_only=True)


@dataclass(frozen=True)
class Exercise:
    number: int
    stars: int
    title: str
    minutes: int
    cell: int

    @property
    def anchor(self) -> str:
        return exercise_anchor(self.number)


@dataclass(frozen=True)
class Correction:
    """What a chapter says to be wrong in its note or in the usual retelling, as Markdown; numbered in their order."""

    number: int
    text: str
    cell: int

    @property
    def anchor(self) -> str:
        return correction_anchor(self.number)


@dataclass(frozen=True)
class Header:
    """The facts typed in the first cell, as Markdown."""

    title: str
    source_note: str
    question: str
    sources: str
    outcomes: str
    needs: str
    time: str

    @property
    def minutes_to_work(self) -> int:
        return int(_TO_WORK.search(self.time)[1])


@checked_after_errors
def text(value: str | list[str] | None) -> str:
    """The text of a notebook field, which may be stored as a string or as a list of lines."""
    return "".join(value) if isinstance(value, list) else value or ""


@checked_after_errors
def without_code(markdown: str) -> str:
    """A Markdown text without its code blocks and code spans."""
    return _CODE.sub("", markdown)


@checked_after_errors
def parse_header(markdown: str) -> Header:
    """Read the typed header of a chapter; a ValueError says what is missing and what it should look like."""
    title = re.match(r"# (.+)", markdown)
    note = re.search(r"^> \*\*Source note\.\*\* (.+?)(?=\n\n|\Z)", markdown, re.M | re.S)
    rows = {name: " ".join(value.split()) for name, value in _HEADER_ROW.findall(markdown)}
    expected = {
        "# Title": title,
        "> **Source note.** two or three sentences": note,
        "- **Question:** …?": rows.get("Question"),
        "- **Sources:** links": rows.get("Sources"),
        "- **You will be able to:** …": rows.get("You will be able to"),
        "- **Needs:** …": rows.get("Needs"),
        "- **Time:** 45 minutes to work": _TO_WORK.search(rows.get("Time", "")),
    }
    missing = [line for line, found in expected.items() if not found]
    if missing:
        raise ValueError("markdown must hold the typed header, but the first cell lacks: " + " | ".join(missing))
    return Header(
        title=title[1].strip(),
        source_note=re.sub(r"\n> ?", " ", note[1]),
        question=rows["Question"],
        sources=rows["Sources"],
        outcomes=rows["You will be able to"],
        needs=rows["Needs"],
        time=rows["Time"],
    )


class NotANotebook(ValueError):
    """A file that should be a notebook and cannot be read as one; the message says what to do."""

    def __init__(self, path: Path, error: Exception):
        super().__init__(
            f"{path} is not a notebook ({error}). Mend it there, or take its last committed form back with "
            f'git checkout -- "{path}". Nothing was changed.'
        )


@checked_after_errors
def read_notebook(path: Path) -> dict:
    """What a notebook's file holds, as JSON; raises NotANotebook, or a FileNotFoundError."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or not even text
        raise NotANotebook(path, error) from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise NotANotebook(path, ValueError("it has no list of cells"))
    return notebook


class Chapter:
    """A chapter notebook on disk, without which there is a FileNotFoundError; `cell` is a position among its cells."""

    @checked_after_errors
    def __init__(self, path: Path):
        self.path = Path(path)
        self.slug = self.path.stem
        self.part = self.path.parent.name
        self.notebook = read_notebook(self.path)
        self.cells = self.notebook["cells"]

    @property
    def digest(self) -> str | None:
        return self.notebook["metadata"].get("course", {}).get("digest")

    @cached_property
    def header(self) -> Header:
        return parse_header(self.source(0) if self.cells else "")

    @property
    def has_header(self) -> bool:
        """Whether the first cell can be read; `header` says what is missing."""
        try:
            return bool(self.header)
        except ValueError:
            return False

    def _cell(self, cell):
        if not isinstance(cell, Integral) or not 0 <= cell < len(self.cells):
            raise ValueError(f"cell must be a position from 0 to {len(self.cells) - 1}, got {cell!r}")
        return self.cells[cell]

    def source(self, cell: int) -> str:
        return text(self._cell(cell)["source"]).replace("\r\n", "\n")

    def title(self, cell: int) -> str:
        """What the first line of a code cell, `#@title …`, says that the cell holds; "" without one."""
        first, _, _ = self.source(cell).partition("\n")
        return first.removeprefix("#@title ").strip() if first.startswith("#@title ") else ""

    def place(self, cell: int) -> str:
        """How messages name a cell: its position from 1 and the beginning of its text."""
        words = " ".join(self.source(cell).split())
        return f"cell {cell + 1} ({words[:40]}{'…' * (len(words) > 40)})"

    def tags(self, cell: int) -> set[str]:
        return set(self._cell(cell)["metadata"].get("tags", []))

    def is_folded(self, cell: int) -> bool:
        return bool(FOLDED & self.tags(cell))

    def anchor(self, cell: int) -> str:
        """Where a link to a cell leads: into its fold, or to the cell itself if it is open."""
        return fold_anchor(cell) if self.is_folded(cell) else cell_anchor(cell)

    def indices(self, cell_type: str) -> list[int]:
        """Positions of the cells of a type: "markdown" or "code"."""
        return [i for i, cell in enumerate(self.cells) if cell["cell_type"] == cell_type]

    def prose(self) -> str:
        """All Markdown cells, joined."""
        return "\n\n".join(self.source(i) for i in self.indices("markdown"))

    def output_text(self, cell: int) -> str:
        """What a code cell printed or returned as text, in its stored outputs."""
        parts = []
        for output in self._cell(cell).get("outputs", []):
            parts.append(text(output.get("text")))
            parts.append(text(output.get("data", {}).get("text/plain")))
        return "\n".join(part for part in parts if part)

    @cached_property
    def equations(self) -> list[Equation]:
        found = []
        for i in self.indices("markdown"):
            for tex in _DISPLAY.findall(without_code(self.source(i))):
                tags = TAG.findall(tex)
                found += [Equation(tag, tex.strip(), i) for tag in tags or [None]]
        return found

    @cached_property
    def checks(self) -> list[Check]:
        return [
            Check(**vars(line), cell=i) for i in self.indices("code") for line in parse(self.output_text(i))[0]
        ]

    @cached_property
    def exercises(self) -> list[Exercise]:
        return [
            Exercise(int(number), len(stars), title, int(minutes), i)
            for i in self.indices("markdown")
            for number, stars, title, minutes in _EXERCISE.findall(self.source(i))
        ]

    @cached_property
    def corrections(self) -> list[Correction]:
        found = [(text, i) for i in self.indices("markdown") for text in _CORRECTION.findall(self.source(i))]
        return [Correction(n, re.sub(r"\n> ?", "\n", text), i) for n, (text, i) in enumerate(found, 1)]

    @property
    def claim_numbers(self) -> set[int]:
        """Numbers of the equations that are claims: tagged, and not a definition."""
        return {int(e.tag) for e in self.equations if e.is_claim}

    def unproved(self) -> Iterator[str]:
        """Equations without a check that passed, and checks without an equation: what may not be published."""
        checked = {check.number for check in self.checks}
        for equation in self.equations:
            if equation.is_claim and int(equation.tag) not in checked:
                yield (
                    f"{self.place(equation.cell)}: equation ({equation.tag}) has no check; verify it with a function "
                    f"of lib.course.claims that is given the number {equation.tag}, and run the chapter (make run)"
                )
        for check in self.checks:
            if check.number not in self.claim_numbers:
                yield (
                    f"{self.place(check.cell)}: check ({check.number}) has no equation; tag the equation that it "
                    "verifies or correct the number"
                )

    @cached_property
    def production(self) -> list[tuple[str, ...]] | None:
        """The table under `## In production`, row by row with its head, as Markdown; None without the section."""
        section = _PRODUCTION.search(self.prose())
        if not section:
            return None
        rows = [line.strip() for line in section[1].splitlines() if line.lstrip().startswith("|")]
        cells = [tuple(cell.strip() for cell in _PIPE.split(row.strip("|"))) for row in rows]
        return [row for row in cells if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]
