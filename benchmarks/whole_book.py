"""CPU seconds of `make notebooks`, here and in another build of the book, each with its own tools and in turn.

    python benchmarks/whole_book.py PATH or REVISION [--rounds 1]

Everything counts that a run starts: imports, kernels, and the comparison of their outputs.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from bench import build, record
from toolbox import ROOT, one_thread


def seconds(root: Path) -> float:
    """CPU seconds of running and comparing all chapters of a build; the builds differ in what they print."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = one_thread() | {"PYTHONPATH": os.fspath(root)}
    command = [sys.executable, root / "book" / "_tools" / "notebooks.py"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{root} fails:\n{done.stdout[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("against", help="another build: its folder, or a git revision")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    with build(arguments.against) as other:
        turns = [(seconds(ROOT), seconds(other)) for _ in range(arguments.rounds)]
    now, then = map(statistics.median, zip(*turns, strict=True))
    head = ["command", "CPU s", f"CPU s, {arguments.against}", "ratio"]
    what = f"medians of {arguments.rounds} runs, the builds in turn"
    record("whole_book", head, [["make notebooks", now, then, now / then]], what=what)


if __name__ == "__main__":
    main()
