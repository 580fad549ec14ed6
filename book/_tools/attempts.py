"""Hand attempts at an exercise to its checker, each in a process of its own, within the kernel that ran the chapter.

This text is run in that kernel (see solution_mutants.py), so nothing of the project is imported. A child starts as the
kernel is, and what it draws, overwrites or breaks is gone with it.
"""

import io
import json
import math
import os
import resource
import signal
import warnings
from contextlib import redirect_stderr, redirect_stdout

MOST_SECONDS, SLOWER, STARTING = 120, 5, 2  # of CPU: for the first attempt; others get five times its time and this beside
WAITING = 20  # times the CPU seconds of an attempt may pass on the clock: one that waits for ever ends too


def mark(checker, name: str, sources: list[str], names: dict) -> None:
    """Print what `checker` says of the function `name` of each source, as a line of JSON; null where time is out or it died.

    The first source is the solution, whose time sets that of the others. They are run among the notebook's `names`.
    """
    limit = MOST_SECONDS
    for source in sources:
        said, seconds = in_child(lambda source=source: opinion(checker, name, source, names), limit)
        limit = min(limit, SLOWER * seconds + STARTING)
        print(json.dumps(said), flush=True)


def opinion(checker, name: str, source: str, names: dict) -> str:
    """What the checker prints of the function `name` that a source defines; the error where it defines none."""
    printed, defined = io.StringIO(), dict(names)
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        try:
            exec(source, defined)
        except Exception as error:
            return f"Your code raised {type(error).__name__}: {error}"
        checker(defined[name])
    return printed.getvalue()


def in_child(work, seconds: float) -> tuple[str | None, float]:
    """The text that `work()` returns in a child process, None if it takes more CPU `seconds` or dies; and those it took."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the kernel's other threads have no part in the child's work
        child = os.fork()
    if not child:
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):  # to which a library may write past Python
                os.dup2(nowhere, stream)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, WAITING * seconds)
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds)))
            text = work().encode()
            os.write(writing, b"+" + text)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        text = pipe.read()
    usage = os.wait4(child, 0)[2]
    return text[1:].decode() if text else None, round(usage.ru_utime + usage.ru_stime, 1)
