"""What the authors' tools share: where chapters are, the environment they run in, what a kernel has used, and how a
fault of the disk, of a file or of the installation is told.
"""

import errno
import importlib.util
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import psutil

from lib.chapter.book import ROOT, chapter_paths, syllabus, unfinished
from lib.chapter.notebook import Chapter, NotANotebook

__all__ = [
    "ROOT", "Chapter", "chapter_paths", "chapters_named", "in_plain_words", "one_thread", "require_kernel",
    "require_writable", "syllabus", "unfinished", "usage",
]  # fmt: skip

FULL, READ_ONLY = {errno.ENOSPC, errno.EDQUOT}, {errno.EROFS, errno.EACCES, errno.EPERM}
SAME_AGAIN = "then give the same command again. What was stored before is as it was."
INSTALL_AGAIN = "install again with rm .venv/.site and make run. What was stored before is as it was."


def in_plain_words(tool: Callable) -> Callable:
    """A tool's main function that tells what its user can mend in a sentence, and not by a traceback."""

    @wraps(tool)
    def told(*arguments):
        try:
            return tool(*arguments)
        except NotANotebook as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            print("\nStopped. What was stored before is as it was.")
            sys.exit(130)
        except RuntimeError as error:
            if not str(error).startswith("Kernel d"):  # died before it answered, or did not answer at all
                raise
            sys.exit(f"No kernel has started ({error}); its message is above. If it misses a package, {INSTALL_AGAIN}")
        except OSError as error:
            where = error.filename or "a file"
            if error.errno in FULL:
                sys.exit(f"The disk is full: {where} could not be written. Free some room, {SAME_AGAIN}")
            if error.errno in READ_ONLY:
                sys.exit(_read_only(where))
            raise

    return told


def _read_only(path: Path | str) -> str:
    return f"{path} cannot be written: give yourself the right to, or work in a copy that you own, {SAME_AGAIN}"


def require_writable(path: Path) -> None:
    """End with a sentence, before any work is done, if a file could not be replaced afterwards."""
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        sys.exit(_read_only(path))


def require_kernel() -> None:
    """End with a sentence if there is no kernel that notebooks could run in."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel  # which not every tool waits for

    try:
        KernelSpecManager().get_kernel_spec("python3")
        missing = importlib.util.find_spec("ipykernel") is None
    except NoSuchKernel:
        missing = True
    if missing:
        sys.exit(f"There is no kernel to run notebooks in, which ipykernel brings: {INSTALL_AGAIN}")


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
