"""Chapters on other machines: what their kernels are given, and what the table says of them."""

import machines
import nbformat
import nbformat.v4 as v4
import pytest
from runs import Run, results
from toolbox import chapters_named

SETTINGS = "import os, torch\n[os.environ.get(name) for name in ('OMP_NUM_THREADS', 'ATEN_CPU_CAPABILITY')], torch.get_float32_matmul_precision()"


def result(error=None, printed=("1", "2")):
    return {"error": error, "printed": list(printed), "seconds": 1.0, "checks": []}


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "FOLDER", tmp_path)
    path = tmp_path / "a.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(SETTINGS)]), path)
    return path


def test_each_machine_has_its_threads_instructions_and_precision(chapter):
    made = {run: names for machine in machines.MACHINES for run, names in machines.runs_on(machine, [chapter]).items()}
    printed = {made[run][1]: found["printed"] for run, found in results(made)}
    assert printed == {
        "as stored": ["", "(['1', None], 'highest')"],
        "two threads": ["", "(['2', None], 'highest')"],
        "plain instructions": ["", "(['1', 'default'], 'highest')"],
        "matmul precision high": ["", "(['1', None], 'high')"],
    }


def test_a_standalone_run_imports_what_it_carries(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "FOLDER", tmp_path)
    ((run, names),) = machines.standalone_runs(chapters_named("rope"), tmp_path).items()
    assert names[0] == "rope" and names[1].startswith("Python 3.")
    import_it = v4.new_code_cell("import lib\nassert 'lib-' in lib.__path__[0]")
    before, carried, after = [run.notebook.cells[0]], run.notebook.cells[1:2], [import_it]
    for cells, error in ((before + carried + after, None), (before + after, "No module named 'lib'")):
        made = Run(tmp_path / f"{len(cells)}.json", v4.new_notebook(cells=cells), tmp_path, root=tmp_path).make()
        assert (made["error"] and made["error"]["message"]) == error


def test_a_result_holds_prints_otherwise_or_fails():
    usual = result()
    assert machines.verdict(usual, None) == machines.verdict(result(), usual) == "holds"
    assert machines.verdict(result(printed=("1", "3")), usual) == "holds, 1 of 2 cells print otherwise"
    assert machines.verdict(result(error={"cell": 2}), usual) == "FAILS"


def test_the_table_counts_what_holds_and_names_failures():
    error = {"cell": 7, "kind": "ClaimFailed", "message": "(3) exact"}
    found = {
        ("a", "as stored"): result(), ("a", "two threads"): result(printed=("1", "3")),
        ("b", "as stored"): result(), ("b", "two threads"): result(error),
    }  # fmt: skip
    text, good = machines.report(found)
    lines = [" ".join(line.replace("|", " ").split()) for line in text.splitlines()]
    assert not good
    assert lines[2:5] == ["a holds holds, 1 of 2 cells print otherwise", "b holds FAILS", "hold, of 2 2 1"]
    assert lines[-2:] == ["Failures: 1", "- b, two threads: cell 7: ClaimFailed: (3) exact"]
