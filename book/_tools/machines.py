"""Run every chapter as other machines would, and name what fails and what is printed otherwise.

    python book/_tools/machines.py [--chapter "SLUG SLUG"] [--standalone]

A chapter holds on a machine if no cell fails: no claim, no checker, no solution. Outputs that are compared are those of
the machine on which they were stored, so another may print other last digits, and the table says where one does.

With --standalone the chapters run as standalone notebooks instead, in an empty folder, without `lib`: on this Python, with
its packages and devices. Results are kept in _build/machines/, as those of a sweep are.
"""

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import nbformat
import nbformat.v4 as v4
from nbformat import NotebookNode
from runs import Run, describe, read, results, table
from toolbox import ROOT, chapters_named, in_plain_words, require_kernel

from lib.chapter.standalone import standalone

FOLDER = ROOT / "_build" / "machines"
USUAL = "as stored"
MACHINES = {  # by name: variables of its environment, and what its kernels execute first
    USUAL: ({}, ""),
    # Passive: threads that wait for each other in a loop keep the cores from their neighbours.
    "two threads": ({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}, ""),
    "plain instructions": ({"ATEN_CPU_CAPABILITY": "default"}, ""),
    "matmul precision high": ({}, "import torch\ntorch.set_float32_matmul_precision('high')"),
}
WITHOUT_LIB = """
import importlib.util, pathlib, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.path[:] = [folder for folder in sys.path if not pathlib.Path(folder, "lib", "chapter").is_dir()]
assert importlib.util.find_spec("lib") is None, "lib can be imported: a standalone notebook proves nothing"
"""


def beginning_with(source: str, notebook: NotebookNode) -> NotebookNode:
    """The notebook after one more cell, which prints nothing."""
    return v4.new_notebook(metadata=notebook.metadata, cells=[v4.new_code_cell(source), *notebook.cells])


def runs_on(machine: str, paths: Iterable[Path]) -> dict[Run, tuple[str, str]]:
    """The chapters' runs on one of MACHINES, with slug and machine."""
    environment, source = MACHINES[machine]
    made = {}
    for path in paths:
        file = FOLDER / f"{path.stem}-{machine.replace(' ', '-')}.json"
        made[Run(file, beginning_with(source, read(path)), path.parent, environment=environment)] = path.stem, machine
    return made


def standalone_runs(paths: Iterable[Path], folder: Path) -> dict[Run, tuple[str, str]]:
    """The runs of standalone notebooks on this Python, in a folder that knows no `lib`."""
    packages = f"Python {platform.python_version()}, torch {version('torch')}"
    made = {}
    for path in paths:
        notebook = nbformat.reads(json.dumps(standalone(path)), as_version=4)
        file = FOLDER / f"{path.stem}-{packages.replace(', ', '-').replace(' ', '-')}.json"
        made[Run(file, beginning_with(WITHOUT_LIB, notebook), folder, root=folder)] = path.stem, packages
    return made


def verdict(result: dict, usual: dict | None) -> str:
    """What a cell of the table says; `usual` is the chapter's result on the machine whose outputs are stored."""
    if result["error"]:
        return "FAILS"
    if not usual or result["printed"] == usual["printed"]:
        return "holds"
    others = sum(new != old for new, old in zip(result["printed"], usual["printed"], strict=True))
    return f"holds, {others} of {len(usual['printed'])} cells print otherwise"


def report(found: dict[tuple[str, str], dict]) -> tuple[str, bool]:
    """The table by chapter and machine, the failures, and whether there are none."""
    slugs, machines = (list(dict.fromkeys(names)) for names in zip(*found, strict=True))
    rows = [[slug, *(verdict(found[slug, machine], found.get((slug, USUAL))) for machine in machines)] for slug in slugs]
    holds = [str(sum(not found[slug, machine]["error"] for slug in slugs)) for machine in machines]
    failed = [f"- {slug}, {machine}: {describe(r['error'])}" for (slug, machine), r in found.items() if r["error"]]
    lines = [table(["chapter", *machines], [*rows, [f"hold, of {len(slugs)}", *holds]]), "", f"Failures: {len(failed)}"]
    return "\n".join(lines + failed), not failed


@in_plain_words
def main() -> int:
    parser = argparse.ArgumentParser(description="Run chapters as other machines would.")
    parser.add_argument("--chapter", default="", help="only the chapters with these slugs")
    parser.add_argument("--standalone", action="store_true", help="as standalone notebooks, on this Python without lib")
    arguments = parser.parse_args()
    require_kernel()
    paths = chapters_named(arguments.chapter)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.standalone:
            made = standalone_runs(paths, Path(folder))
        else:
            made = {run: names for machine in MACHINES for run, names in runs_on(machine, paths).items()}
        found = {}
        for done, (run, result) in enumerate(results(made), 1):
            found[made[run]] = result
            print(f"{done} of {len(made)}: {', '.join(made[run])}: {verdict(result, None)}, {result['seconds']} CPU s", flush=True)
    text, good = report({names: found[names] for names in made.values()})
    print(f"\n{text}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
