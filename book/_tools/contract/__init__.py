"""The book's contract: what every chapter notebook keeps to, and how far a chapter is from it.

One module for each subject; every violation says where and what to do.
"""

import statistics
from pathlib import Path

from lib.chapter.book import ROOT
from lib.chapter.notebook import Chapter
from lib.chapter.reading import LINES, core_and_deeper, visible_lines

from .cells import cells
from .claims import claims, controls
from .exercises import exercises
from .identity import identity
from .outputs import outputs
from .page import page
from .prose import prose
from .questions import questions
from .roles import roles

LARGEST_BOOK = 30e6


def violations(chapter: Chapter, root: Path = ROOT) -> list[str]:
    """Everything in which a chapter departs from the contract of the book at `root`."""
    found = [
        *identity(chapter, root),
        *claims(chapter),
        *exercises(chapter),
        *cells(chapter),
        *outputs(chapter),
        *prose(chapter, root),
        *controls(chapter),
        *page(chapter, root),
        *questions(chapter),
        *roles(chapter),
    ]
    return [f"{chapter.part}/{chapter.path.name}: {problem}" for problem in found]


def book_violations(root: Path = ROOT) -> list[str]:
    """What is wrong with the book as a whole."""
    files = [path for path in (root / "book").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    size = sum(path.stat().st_size for path in files)
    if size > LARGEST_BOOK:
        return [f"book/ is {size / 1e6:.1f} MB; keep it under {LARGEST_BOOK / 1e6:g}: shrink its largest figures"]
    return []


def figures(chapter: Chapter) -> str:
    """The figures that the chapter standard speaks of, in one line, and the displays that have no number."""
    lines = [n for i in chapter.indices("code") if (n := visible_lines(chapter, i))] or [0]
    core, deeper = core_and_deeper(chapter)
    untagged = [e for e in chapter.equations if e.tag is None]
    controls = sum(len(check.controls) for check in chapter.checks)
    summary = (
        f"{chapter.part}/{chapter.slug}: core {core.minutes:.0f} min and {core.lines} visible lines, deeper "
        f"{deeper.minutes:.0f} min; with all {sum(lines)} visible lines {core.minutes + (sum(lines) - core.lines) / LINES:.0f} min; "
        f"lines a visible cell {statistics.median(lines):g} (most {max(lines)}); {len(chapter.claim_numbers)} claims, "
        f"{len(chapter.checks)} checks, {controls} controls, {len(chapter.exercises)} exercises; "
        f"untagged displays {len(untagged)}"
    )
    shown = (f"    {chapter.place(e.cell)}: {' '.join(e.tex.split())[:80]}" for e in untagged)
    return "\n".join([summary, *shown])
