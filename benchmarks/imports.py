"""CPU seconds that imports take in a fresh Python, here and in another build of the book.

    python benchmarks/imports.py [PATH or REVISION]
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench import build, record
from toolbox import ROOT, one_thread

ROUNDS = 5
STATEMENTS = [
    "pass",
    "import torch",
    "import torch, torch._dynamo  # the first optimiser does it",
    "import matplotlib.pyplot",
    "import scipy.stats",
    "import sympy",
    "import sklearn.datasets",
    "from lib.course import claims",
    "from lib.course import claims, exercises, figures, training",
]


def seconds(statement: str, root: Path) -> float:
    """CPU seconds of a Python that runs one statement with `root`'s `lib`."""
    process = subprocess.Popen(
        [sys.executable, "-c", statement], cwd=root, env=one_thread() | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{statement} failed in {root}")
    return used.ru_utime + used.ru_stime


def main(against: str | None = None) -> None:
    with build(against or str(ROOT)) as other:
        roots = [ROOT, other] if against else [ROOT]
        rows = []
        for statement in STATEMENTS:
            times = [[seconds(statement, root) for root in roots] for _ in range(ROUNDS)]
            rows.append([statement, *(statistics.median(column) for column in zip(*times, strict=True))])
    head = ["statement", "CPU s"] + ([f"CPU s, {against}"] if against else [])
    record("imports", head, rows, what=f"medians of {ROUNDS} fresh processes, the builds in turn")


if __name__ == "__main__":
    main(*sys.argv[1:2])
