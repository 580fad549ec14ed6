"""What the authors' tools share: where chapters are, the environment they run in, and what a kernel has used."""

import os
import sys
from pathlib import Path

import psutil

from lib.chapter.book import ROOT, chapter_paths, syllabus, unfinished
from lib.chapter.notebook import Chapter

__all__ = ["ROOT", "Chapter", "chapter_paths", "chapters_named", "one_thread", "syllabus", "unfinished", "usage"]


def chapters_named(slugs: str | None) -> list[Path]:
    """The chapters with these slugs, finished or not, separated by spaces; without a slug, all chapters of the book."""
    if not slugs or not slugs.strip():
        return chapter_paths()
    found = {path.stem: path for path in chapter_paths() + unfinished()}
    unknown = [slug for slug in slugs.split() if slug not in found]
    if unknown:
        known = ", ".join(sorted(found)) or "none yet"
        there_is = "; ".join(f"There is no chapter {slug!r}" for slug in unknown)
        sys.exit(f"{there_is}: give the name of a notebook under book/ without .ipynb ({known}).")
    return [found[slug] for slug in slugs.split()]


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
