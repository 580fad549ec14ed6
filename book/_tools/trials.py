"""Run tests on edited copies of a tree, each copy in a process forked from this one, which has done the imports.

    python trials.py ROOT JOBS [IMPORT ...]

Reads trials as lines of JSON: a `name`, the `file` that is edited and its new `source` (or null), the `tests` to run in
this order up to the first failure, and the CPU `seconds` that they may take. Writes a line of JSON as each one ends: its
`name`, the `seconds` it took, and its `failure`: null, or the `test` that failed, and `what` it said. The test is "" if the
time was out or the process died. Nothing of the project is imported here: each child finds it in its own copy.
"""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

import pytest

LEFT_OUT = {".git", ".venv", "_build", ".pytest_cache"}
MOST_BYTES = 8 << 30
WAITING = 20  # times the CPU seconds of a trial may pass on the clock: a test that sleeps for ever ends too
OUT_OF_TIME = "not done in time"


class FirstFailure:
    """A pytest plugin that keeps where the first failure was, and the last line of what it said."""

    failure = None

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.failure:
            said = getattr(getattr(report.longrepr, "reprcrash", None), "message", None) or str(report.longrepr)
            self.failure = {"test": report.nodeid, "what": " ".join(said.split())[:300]}

    pytest_collectreport = pytest_runtest_logreport


def new_copy(root: Path, file: str, source: str | None) -> Path:
    """A copy of a project's tree in which one file of `lib` is edited; only `lib` is copied, all else are hard links."""
    (root / "_build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=root / "_build"))
    for path in root.iterdir():
        if path.name not in LEFT_OUT:
            put = shutil.copy2 if path.name == "lib" else _link
            shutil.copytree(path, folder / path.name, copy_function=put) if path.is_dir() else put(path, folder / path.name)
    if source is not None:
        edited = folder / file
        edited.write_text(source, encoding="utf-8")
        for compiled in edited.parent.glob(f"__pycache__/{edited.stem}.*"):
            compiled.unlink()
    return folder


def _link(path: str | Path, at: str | Path) -> None:
    try:
        os.link(path, at)
    except OSError:  # a file system, or an owner, without hard links
        shutil.copy2(path, at)


def run_tests(folder: Path, tests: list[str], seconds: float) -> None:
    """Run tests in the copy at `folder`, from within a process of their own, and write there how they ended."""
    os.setsid()
    os.chdir(folder)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 6))
    sys.path[0] = os.environ["PYTHONPATH"] = str(folder)
    first = FirstFailure()
    status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], plugins=[first])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and not first.failure:
        first.failure = {"test": "", "what": f"pytest ended with {status!r}"}
    Path(folder, "ended.json").write_text(json.dumps(first.failure))


class Trial:
    """One that runs: its process and its copy of the tree."""

    def __init__(self, root: Path, asked: dict):
        self.name, self.seconds = asked["name"], asked["seconds"]
        self.folder = new_copy(root, asked["file"], asked["source"])
        self.latest = time.monotonic() + WAITING * self.seconds
        self.pid = os.fork()
        if not self.pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                run_tests(self.folder, asked["tests"], self.seconds)
            finally:
                os._exit(0)

    def kill(self) -> None:
        """End its process and all that this has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def result(self, status: int, usage: resource.struct_rusage) -> dict:
        self.kill()
        ended = self.folder / "ended.json"
        if ended.exists():
            failure = json.loads(ended.read_text())
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
            failure = {"test": "", "what": OUT_OF_TIME}
        else:
            failure = {"test": "", "what": f"the process died with status {status}"}
        shutil.rmtree(self.folder, ignore_errors=True)
        return {"name": self.name, "seconds": round(usage.ru_utime + usage.ru_stime, 1), "failure": failure}


def run_all(root: Path, jobs: int, asked: list[dict]):
    """The results of trials, as they come; `jobs` run at once."""
    waiting, running = list(reversed(asked)), {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                trial = Trial(root, waiting.pop())
                running[trial.pid] = trial
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid in running:
                yield running.pop(pid).result(status, usage)
                continue
            for trial in running.values():
                if time.monotonic() > trial.latest:
                    trial.kill()
            time.sleep(0.02)
    finally:
        for trial in running.values():
            trial.kill()
            shutil.rmtree(trial.folder, ignore_errors=True)


def main() -> None:
    root, jobs, *names = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that trials and copies end with this process
    for name in names:  # one that is a class, or is not installed, is left to the tests
        with suppress(Exception), redirect_stdout(sys.stderr):
            import_module(name)
    for result in run_all(Path(root), int(jobs), [json.loads(line) for line in sys.stdin]):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
