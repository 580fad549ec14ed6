"""CPU seconds of every chapter, here and in another build of the book, each run in a fresh kernel and the builds in turn.

    python benchmarks/notebooks.py PATH or REVISION [--chapter "SLUG SLUG"] [--rounds 1]

A chapter that fails in one of the builds is named and counts in neither.
"""

import argparse
import statistics
import sys
from pathlib import Path

from bench import build, record
from runs import describe, execute, read
from toolbox import ROOT, chapters_named, one_thread

MOST_SECONDS = 300


def seconds(notebook: Path, root: Path) -> float | str:
    """CPU seconds of a notebook's kernel with `root`'s `lib`, or the error that stopped it."""
    environment = one_thread() | {"PYTHONPATH": str(root)}
    error, used = execute(read(notebook), notebook.parent, environment, MOST_SECONDS)
    return describe(error) if error else used


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("against", help="another build: its folder, or a git revision")
    parser.add_argument("--chapter", help="the slugs of some chapters; all, if there is none")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    rows, failed = [], 0
    with build(arguments.against) as other:
        for here in chapters_named(arguments.chapter):
            there = other / here.relative_to(ROOT)
            if not there.exists():
                print(f"{here.stem} is not in {arguments.against}")
                continue
            turns = [(seconds(here, ROOT), seconds(there, other)) for _ in range(arguments.rounds)]
            errors = {side for turn in turns for side in turn if isinstance(side, str)}
            for error in errors:
                print(f"{here.stem}: {error}")
            if errors:
                failed += 1
                continue
            now, then = map(statistics.median, zip(*turns, strict=True))
            rows.append([here.stem, now, then, now / then])
            print(f"{here.stem}: {now:.1f} s, {then:.1f} s in {arguments.against}", flush=True)
    if not rows:
        return 1
    now, then = (sum(row[column] for row in rows) for column in (1, 2))
    rows.append([f"all {len(rows)}", now, then, now / then])
    head = ["chapter", "CPU s", f"CPU s, {arguments.against}", "ratio"]
    record("notebooks", head, rows, what=f"medians of {arguments.rounds} runs, the builds in turn")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
