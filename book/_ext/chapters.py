"""What a chapter notebook says of itself, read from its cells and stored outputs.

The site's extensions, the contract and the tools all read chapters through this module, so that an equation, a check,
an exercise and the header mean the same everywhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDED = frozenset({"hide-cell", "hide-input"})
EXEMPT = "nbval-ignore-output"

_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.M | re.S)
_DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.S)
_TAG = re.compile(r"\\tag\{(D?\d+)\}")
_CHECK = re.compile(r"^✓ \((\d+)\) (\w+) · (.*)$", re.M)
_EXERCISE = re.compile(r"^### Exercise (\d+) (★{1,3}) · (.+?) · (\d+) minutes$", re.M)
_HEADER_ROW = re.compile(r"^- \*\*(Sources|You will be able to|Needs|Time):\*\* (.+?)(?=\n- \*\*|\Z)", re.M | re.S)
_TIME = re.compile(r"(\d+) minutes to read, (\d+) to work")


@dataclass(frozen=True)
class Equation:
    """A displayed formula; `tag` is "3", "D1" or None for a display without a number."""

    tag: str | None
    tex: str
    cell: int


@dataclass(frozen=True)
class Check:
    """One line that a passing claim printed."""

    number: int
    kind: str
    threshold: str
    what: str
    controls: tuple[str, ...]
    cell: int


@dataclass(frozen=True)
class Exercise:
    number: int
    stars: int
    title: str
    minutes: int
    cell: int


@dataclass(frozen=True)
class Header:
    """The facts typed in the first cell, as Markdown."""

    title: str
    source_note: str
    sources: str
    outcomes: str
    needs: str
    minutes_to_read: int
    minutes_to_work: int


def text(value: str | list[str] | None) -> str:
    """The text of a notebook field, which may be stored as a string or as a list of lines."""
    return "".join(value) if isinstance(value, list) else value or ""


def without_code(markdown: str) -> str:
    """A Markdown text without its code blocks and code spans."""
    return _CODE.sub("", markdown)


def displays(markdown: str) -> list[str]:
    """The contents of the `$$…$$` blocks of a Markdown text, code excepted."""
    return _DISPLAY.findall(without_code(markdown))


def parse_header(markdown: str) -> Header:
    """Read the typed header of a chapter; a ValueError says what is missing and what it should look like."""
    title = re.match(r"# (.+)", markdown)
    note = re.search(r"^> \*\*Source note\.\*\* (.+?)(?=\n\n|\Z)", markdown, re.M | re.S)
    rows = {name: " ".join(value.split()) for name, value in _HEADER_ROW.findall(markdown)}
    time = _TIME.search(rows.get("Time", ""))
    expected = {
        "# Title": title,
        "> **Source note.** two or three sentences": note,
        "- **Sources:** links": rows.get("Sources"),
        "- **You will be able to:** …": rows.get("You will be able to"),
        "- **Needs:** …": rows.get("Needs"),
        "- **Time:** 30 minutes to read, 45 to work": time,
    }
    missing = [line for line, found in expected.items() if not found]
    if missing:
        raise ValueError("the first cell lacks: " + " | ".join(missing))
    return Header(
        title=title[1].strip(),
        source_note=re.sub(r"\n> ?", " ", note[1]),
        sources=rows["Sources"],
        outcomes=rows["You will be able to"],
        needs=rows["Needs"],
        minutes_to_read=int(time[1]),
        minutes_to_work=int(time[2]),
    )


class Chapter:
    """A chapter notebook on disk."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.slug = self.path.stem
        self.part = self.path.parent.name
        self.notebook = json.loads(self.path.read_text(encoding="utf-8"))
        self.cells = self.notebook["cells"]

    @property
    def digest(self) -> str | None:
        return self.notebook["metadata"].get("course", {}).get("digest")

    @cached_property
    def header(self) -> Header:
        return parse_header(self.source(0))

    @property
    def has_header(self) -> bool:
        """Whether the first cell can be read; `header` says what is missing."""
        try:
            return bool(self.header)
        except ValueError:
            return False

    def source(self, cell: int) -> str:
        return text(self.cells[cell]["source"])

    def place(self, cell: int) -> str:
        """How messages name a cell: its position from 1 and the beginning of its text."""
        words = " ".join(self.source(cell).split())
        return f"cell {cell + 1} ({words[:40]}{'…' * (len(words) > 40)})"

    def tags(self, cell: int) -> set[str]:
        return set(self.cells[cell]["metadata"].get("tags", []))

    def indices(self, cell_type: str) -> list[int]:
        """Positions of the cells of a type: "markdown" or "code"."""
        return [i for i, cell in enumerate(self.cells) if cell["cell_type"] == cell_type]

    def output_text(self, cell: int) -> str:
        """What a code cell printed or returned as text, in its stored outputs."""
        parts = []
        for output in self.cells[cell].get("outputs", []):
            parts.append(text(output.get("text")))
            parts.append(text(output.get("data", {}).get("text/plain")))
        return "\n".join(part for part in parts if part)

    @cached_property
    def equations(self) -> list[Equation]:
        found = []
        for i in self.indices("markdown"):
            for tex in displays(self.source(i)):
                tags = _TAG.findall(tex)
                found += [Equation(tag, tex.strip(), i) for tag in tags or [None]]
        return found

    @cached_property
    def checks(self) -> list[Check]:
        found = []
        for i in self.indices("code"):
            for number, kind, rest in _CHECK.findall(self.output_text(i)):
                threshold, what, *last = rest.split(" · ")
                controls = tuple(last[0].removeprefix("rejects: ").split("; ")) if last else ()
                found.append(Check(int(number), kind, threshold, what, controls, i))
        return found

    @cached_property
    def exercises(self) -> list[Exercise]:
        return [
            Exercise(int(number), len(stars), title, int(minutes), i)
            for i in self.indices("markdown")
            for number, stars, title, minutes in _EXERCISE.findall(self.source(i))
        ]

    @property
    def claim_numbers(self) -> set[int]:
        """Numbers of the equations that are claims: tagged, and not a definition."""
        return {int(e.tag) for e in self.equations if e.tag and e.tag.isdigit()}

    @property
    def unchecked(self) -> set[int]:
        """Numbers of the claims for which no check passed in the stored outputs."""
        return self.claim_numbers - {check.number for check in self.checks}

    @property
    def strays(self) -> set[int]:
        """Numbers of the checks that belong to no equation."""
        return {check.number for check in self.checks} - self.claim_numbers


def syllabus(root: Path = ROOT) -> list[dict]:
    """The plan of the book: parts in order, each with its title and its chapters (digest, slug, title)."""
    return yaml.safe_load((root / "book" / "syllabus.yml").read_text(encoding="utf-8"))


def chapter_paths(root: Path = ROOT) -> list[Path]:
    """The notebooks that `_toc.yml` lists, in its order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc.get("parts", []) for entry in part.get("chapters", [])]
    paths = [root / f if f.endswith(".ipynb") else root / f"{f}.ipynb" for f in files]
    return [path for path in paths if path.exists()]


def chapters(root: Path = ROOT) -> list[Chapter]:
    """The chapters that are in the book, in reading order."""
    return [Chapter(path) for path in chapter_paths(root)]
