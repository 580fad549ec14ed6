"""The book's contract: what every chapter notebook keeps to, and how far a chapter is from it.

    python book/_tools/contract.py [SLUG]

prints what each chapter still violates; every line says where and what to do.
"""

import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from toolbox import ROOT, Chapter, chapter_paths, chapters_named, syllabus, unfinished

import contract_claims
import contract_code
import contract_exercises
import contract_outputs
import contract_prose

LARGEST_CHAPTER, LARGEST_BOOK = 1.5e6, 30e6
NOTEBOOK_METADATA = {"course", "kernelspec", "language_info"}


def violations(chapter: Chapter, root: Path = ROOT) -> list[str]:
    """Everything in which a chapter departs from the contract of the book at `root`."""
    found = [
        *_identity(chapter, root),
        *contract_claims.violations(chapter),
        *contract_exercises.violations(chapter),
        *contract_code.violations(chapter),
        *contract_outputs.violations(chapter),
        *contract_prose.violations(chapter, root),
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
    lines = list(contract_code.visible_lines(chapter).values()) or [0]
    prose = "\n".join(chapter.source(i) for i in chapter.indices("markdown"))
    words = len(re.sub(r"\$\$.*?\$\$|\$[^$]*\$", " ", prose, flags=re.S).split())
    untagged = [e for e in chapter.equations if e.tag is None]
    controls = sum(len(check.controls) for check in chapter.checks)
    summary = (
        f"{chapter.part}/{chapter.slug}: {len(chapter.claim_numbers)} claims, {len(chapter.checks)} checks, "
        f"{controls} controls, {len(chapter.exercises)} exercises; lines a visible cell {statistics.median(lines):g} "
        f"(most {max(lines)}), words a visible cell {words // len(lines)}; untagged displays {len(untagged)}"
    )
    shown = (f"    {chapter.place(e.cell)}: {' '.join(e.tex.split())[:80]}" for e in untagged)
    return "\n".join([summary, *shown])


def _identity(chapter: Chapter, root: Path) -> Iterator[str]:
    """The header, the digest, the place in the syllabus, the metadata and the size."""
    try:
        chapter.header  # noqa: B018
    except (ValueError, IndexError) as error:
        yield f"header: {error or 'the notebook is empty'}; write it in the first cell"
    planned = {c["slug"]: (part["part"], c["digest"]) for part in syllabus(root) for c in part["chapters"]}
    if chapter.slug not in planned:
        yield f"the syllabus has no chapter {chapter.slug!r}; name the file as in book/syllabus.yml"
    else:
        part, digest = planned[chapter.slug]
        if chapter.part != part:
            yield f"the chapter belongs in book/{part}/; move it there"
        if chapter.digest != digest:
            yield f"the metadata's course.digest is {chapter.digest!r}; book/syllabus.yml says {digest!r}"
    metadata = chapter.notebook["metadata"]
    extra = set(metadata) - NOTEBOOK_METADATA | {f"course.{key}" for key in metadata.get("course", {})} - {"course.digest"}
    for key in sorted(extra):
        yield f"remove the notebook's metadata {key!r}; facts are typed in the header"
    size = chapter.path.stat().st_size
    if size > LARGEST_CHAPTER:
        yield f"the file is {size / 1e6:.1f} MB; keep it under {LARGEST_CHAPTER / 1e6:g}: fewer or smaller figures"


def main(slug: str | None = None) -> int:
    """Print the violations of one chapter or of all; unfinished chapters count only when they are named."""
    problems = book_violations()
    for path in chapters_named(slug):
        chapter = Chapter(path)
        problems += violations(chapter)
        print(figures(chapter))
    for path in [] if slug else unfinished():
        print(f"{path.parent.name}/{path.stem}: not in _toc.yml yet ({len(violations(Chapter(path)))} violations)")
    for problem in problems:
        print(f"- {problem}")
    print(f"Violations: {len(problems)}.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
