"""What the benchmarks share: another build beside this one, the machine, and how a result is printed and kept."""

import argparse
import compileall
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

from runs import table
from toolbox import ROOT

BESIDE = ["ours / peer", "CPU ms", "peer's", "ratio", "MiB", "peer's MiB"]
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # in glibc's malloc.h
PACKAGES = ("torch", "numpy", "scipy", "sympy", "scikit-learn", "matplotlib", "jaxtyping", "beartype", "transformers")


@contextmanager
def build(source: str) -> Iterator[Path]:
    """The folder of a build of the book: a path as it stands, or a git revision, in a folder of its own for the time."""
    if Path(source).is_dir():
        yield Path(source).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", source, "lib", "book", "tests", "pyproject.toml", "_toc.yml"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "x", "-C", folder], input=archive.stdout, check=True)
        compileall.compile_dir(folder, quiet=1)  # so that no first run pays for it
        yield Path(folder)


def commit() -> str:
    """This checkout's commit, marked if files other than the results have changed since."""
    head = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    changed = subprocess.check_output(["git", "diff", "HEAD", "--name-only", "--", ".", ":!benchmarks/results"], cwd=ROOT, text=True)
    return f"{head}-dirty" if changed else head


def machine() -> str:
    """The processor, the cores that may be used, and the system."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}"


def rounds(default: int) -> int:
    """How many turns are wanted, by the command line's `--rounds`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=default)
    return parser.parse_args().rounds


def milliseconds(function: Callable, calls: int = 1, *, clock: Callable[[], float] = time.process_time) -> float:
    """How long a call takes, on average over `calls`: CPU time, unless another clock is given."""
    begin = clock()
    for _ in range(calls):
        function()
    return 1e3 * (clock() - begin) / calls


def in_turn(row: str, measure: Callable[[Callable], float], ours: Callable, theirs: Callable, turns: int) -> list:
    """A row of a result, printed as soon as it is known: its name, both medians of `measure`, and their ratio."""
    pairs = [(measure(ours), measure(theirs)) for _ in range(turns)]
    one, other = map(statistics.median, zip(*pairs, strict=True))
    print(f"{row}: {one / other:.2f}", flush=True)
    return [row, one, other, one / other]


def keep_freed_memory() -> None:
    """Let this process use again what it frees; with glibc.

    Otherwise each result of a mebibyte and more is asked of the system, and its pages are cleared one after the other:
    the rotation of a mebimatrix then takes five times as long, or not, by what ran before.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Let this process return every array of 8 KiB and more as soon as it is freed; with glibc, before `keep_freed_memory`.

    Then the high-water mark is what a call holds at once. Otherwise it has the holes as well that freed arrays leave and
    into which the next ones do not fit.
    """
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**13)


def record_beside(name: str, cases: Iterable[tuple], turns: int, *peers: str) -> None:
    """Measure cases (row, ours, the peer's, and how many calls make a timing: one if that is left out), keep the result.

    Memory comes first, because measuring it empties the allocator, which the calls that are timed want full.
    """
    cases = list(cases)
    return_freed_memory()
    held = [[(function(), peak_mib(function))[1] for function in (ours, theirs)] for _, ours, theirs, *_ in cases]
    keep_freed_memory()
    rows = []
    for (row, ours, theirs, *calls), mib in zip(cases, held, strict=True):
        ours(), theirs()
        rows.append([*in_turn(row, partial(milliseconds, calls=calls[0] if calls else 1), ours, theirs, turns), *mib])
    record(name, BESIDE, rows, what="; ".join([f"medians of {turns}, in turn; memory: the process's high-water mark", *peers]))


def peak_mib(function: Callable) -> float:
    """The most memory of its own that a call holds, its result among it, in MiB; on Linux.

    It is the kernel's high-water mark of this process, so whatever allocates is seen: numpy, torch and compiled code. What
    earlier calls have left to the allocator is handed back first, or it would be used again unseen.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the mark begins anew
    before = _status("VmRSS")
    result = function()
    peak = _status("VmHWM")
    del result
    return max(peak - before, 0) / 1024


def _status(name: str) -> int:
    """A figure of this process in KiB."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))


def record(name: str, head: list[str], rows: list[list], **about: str | dict) -> None:
    """Print a result as a table and keep it under `results/`, with what it depends on."""
    about |= {"commit": commit(), "date": date.today().isoformat(), "machine": machine()}
    about |= {"versions": {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}}
    rows = [[round(cell, 3) if isinstance(cell, float) else cell for cell in row] for row in rows]
    file = Path(__file__).parent / "results" / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(about | {"head": head, "rows": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    shown = [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    print(f"\n{name}, {about['commit']}, {about['machine']}\n\n{table(head, shown)}")
