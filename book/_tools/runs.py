"""Run notebooks in fresh kernels, as many at once as there are cores, and keep what came of each run.

A stored result counts for as long as the notebook's code and `lib` are what they were.
"""

import hashlib
import json
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import Context
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from toolbox import ROOT, one_thread

from lib.chapter.files import replace_text
from lib.chapter.notebook import EXEMPT, NotANotebook, read_notebook, text

OUT_OF_TIME = "OutOfTime"
MOST_WAITING = 900  # seconds on the clock for a whole run, whatever the kernel does
MOST_BYTES = 8 << 30  # a size that a mistake has blown up ends its own kernel, not its neighbours


@dataclass(eq=False)
class Run:
    """One run of a notebook in `folder` with COURSE_SEED = `seed`, for at most `seconds` of CPU; its result is in `file`.

    Variables of `environment` replace those in which outputs are stored; they do not tell results apart, files do.
    """

    file: Path
    notebook: NotebookNode
    folder: Path
    seed: int = 0
    seconds: float = 600
    root: Path = ROOT  # of the `lib` that it imports
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A hash of what the result depends on: the code cells, and the sources of `lib` as they are now."""
        cells = [cell.source for cell in self.notebook.cells if cell.cell_type == "code"]
        paths = sorted(self.root.glob("lib/**/*.py"))
        sources = {path.relative_to(self.root).as_posix(): path.read_text(encoding="utf-8") for path in paths}
        return hashlib.sha256(json.dumps([cells, sources]).encode()).hexdigest()

    def stored(self) -> dict | None:
        """The result, if this run was made before."""
        if not self.file.exists():
            return None
        result = json.loads(self.file.read_text(encoding="utf-8"))
        return result if result["key"] == self.key else None

    def make(self) -> dict:
        """Run, store and return the result.

        It holds `error` and `seconds` (see `execute`), `checks`: the margins that the claims noted, and `printed`: what
        each code cell printed whose outputs are compared.
        """
        key = self.key  # of the sources that this run imports
        with tempfile.TemporaryDirectory() as folder:
            margins = Path(folder, "margins")
            path = os.pathsep.join(filter(None, [str(self.root), os.environ.get("PYTHONPATH")]))
            environment = {"COURSE_SEED": str(self.seed), "COURSE_MARGINS": str(margins), "PYTHONPATH": path}
            notebook = deepcopy(self.notebook)
            settings = one_thread() | environment | self.environment
            # In a context of its own, or Jupyter takes the event loop of whoever started this thread.
            error, seconds = Context().run(_execute_anew, notebook, self.folder, settings, self.seconds)
            lines = margins.read_text(encoding="utf-8").splitlines() if margins.exists() else []
        checks = [json.loads(line) for line in lines]
        result = {"key": key, "error": error, "seconds": seconds, "checks": checks, "printed": printed(notebook)}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self.file, json.dumps(result, ensure_ascii=False))
        return result


def new_client(notebook: NotebookNode, folder: Path, **options) -> NotebookClient:
    """What executes a notebook in a kernel of its own that works in `folder`; the options are nbclient's."""
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}, **options)
    client.create_kernel_manager().transport_encryption = "auto"  # else the kernel warns on its stderr
    return client


def execute(notebook: NotebookNode, folder: Path, environment: dict[str, str], most: float) -> tuple[dict | None, float]:
    """Execute a notebook up to the first cell that fails.

    Returns the error, as the position of its cell, its kind and its message, or None if all cells pass, and the CPU
    seconds used, of which `most` are allowed: unlike time on the clock they do not depend on what else the cores do.
    """
    client = new_client(notebook, folder, startup_timeout=300, shutdown_kernel="immediate")
    end = time.monotonic() + MOST_WAITING
    client.timeout_func = lambda cell: max(0.1, end - time.monotonic())
    with client.setup_kernel(env=environment, stderr=subprocess.DEVNULL):
        process = client.km.provisioner.process
        kernel = psutil.Process(process.pid)
        kernel.rlimit(psutil.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
        kernel.rlimit(psutil.RLIMIT_CORE, (0, 0))
        kernel.rlimit(psutil.RLIMIT_CPU, (math.ceil(most), math.ceil(most) + 5))
        error = None
        for i, cell in enumerate(notebook.cells):
            try:
                client.execute_cell(cell, i)
            except CellExecutionError as raised:
                error = {"cell": i + 1, "kind": raised.ename, "message": raised.evalue}
            except CellTimeoutError:
                error = {"cell": i + 1, "kind": OUT_OF_TIME, "message": f"not done after {MOST_WAITING} s of waiting"}
            except DeadKernelError:
                if process.returncode == -signal.SIGXCPU:
                    return {"cell": i + 1, "kind": OUT_OF_TIME, "message": f"not done after {most:.0f} CPU s"}, most
                return {"cell": i + 1, "kind": "DeadKernel", "message": f"its exit code is {process.returncode}"}, most
            if error:
                break
        times = kernel.cpu_times()
    return error, round(times.user + times.system, 1)


def _execute_anew(*arguments) -> tuple[dict | None, float]:
    """`execute`; a kernel that ends while it starts, because another took its ports, is started again, twice at most."""
    for _ in range(2):
        try:
            return execute(*arguments)
        except RuntimeError:
            continue
    return execute(*arguments)


def printed(notebook: NotebookNode) -> list[str]:
    """What each code cell printed, "" where its outputs are exempt from comparison."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["" if EXEMPT in cell.metadata.get("tags", []) else _text(cell) for cell in cells]


def _text(cell: NotebookNode) -> str:
    pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    others = [output for output in cell.outputs if output not in pictures]
    return "".join(text(output.get("text") or output.get("data", {}).get("text/plain")) for output in others)


def describe(error: dict) -> str:
    """An error in one line."""
    return f"cell {error['cell']}: {error['kind']}: {' '.join(error['message'].split())[:400]}"


@contextmanager
def workers(jobs: int | None = None) -> Iterator[Executor]:
    """What makes runs: `jobs` threads, or one for each core; with an address in DASK, a cluster that shares this folder."""
    if address := os.environ.get("DASK"):
        from distributed import Client

        with Client(address) as client:
            yield client.get_executor(pure=False)
    else:
        with ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0))) as pool:
            yield pool


def results(runs: Iterable[Run], jobs: int | None = None) -> Iterator[tuple[Run, dict]]:
    """Each run with its result as it comes: stored ones first, then those that are made now, `jobs` at once."""
    missing = []
    for run in runs:
        result = run.stored()
        if result:
            yield run, result
        else:
            missing.append(run)
    with workers(jobs) as pool:
        made = {pool.submit(run.make): run for run in missing}
        try:
            for future in as_completed(made):
                yield made[future], future.result()
        finally:
            for future in made:
                future.cancel()


def parsed(path: Path) -> NotebookNode:
    """A notebook in the form of nbformat 4; raises NotANotebook."""
    read_notebook(path)
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        raise NotANotebook(path, error) from error


def read(path: Path) -> NotebookNode:
    """A notebook without its stored outputs."""
    notebook = parsed(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    return notebook


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table that reads well as plain text too."""
    cells = [[text.replace("|", "\\|") for text in row] for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
