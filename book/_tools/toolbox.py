"""What the authors' tools share: where chapters are, the environment they run in, and what a kernel has used."""

import os
import sys
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_ext"))

from chapters import ROOT, Chapter, chapter_paths, syllabus  # noqa: E402

__all__ = ["ROOT", "Chapter", "chapter_paths", "chapters_named", "one_thread", "syllabus", "unfinished", "usage"]


def unfinished() -> list[Path]:
    """Chapters on disk that `_toc.yml` does not list."""
    listed = set(chapter_paths())
    return sorted(p for p in ROOT.glob("book/[!_.]*/*.ipynb") if p not in listed)


def chapters_named(slug: str | None) -> list[Path]:
    """The chapter with this slug, finished or not; without a slug, all chapters of the book."""
    if not slug:
        return chapter_paths()
    found = {path.stem: path for path in chapter_paths() + unfinished()}
    if slug not in found:
        known = ", ".join(sorted(found)) or "none yet"
        sys.exit(f"There is no chapter {slug!r}: give the name of a notebook under book/ without .ipynb ({known}).")
    return [found[slug]]


def one_thread() -> dict[str, str]:
    """The environment in which outputs are stored and compared: one thread, seed 0, no progress bars."""
    left_out = {"COURSE_SEED", "COURSE_MARGINS", "MPLBACKEND"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds and peak memory in gigabytes of a running process."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        peak = next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    else:
        peak = process.memory_info().rss  # without /proc, what it holds now
    return times.user + times.system, peak / 1e9
