"""Runs of notebooks in fresh kernels, and what a sweep over seeds makes of them."""

import json

import distributed
import nbformat.v4 as v4
import pytest
import runs
import sweep
from runs import Run
from toolbox import one_thread

COUNTED = "open('runs', 'a').write('x')"
CLAIM = """
import json, os
seed = int(os.environ["COURSE_SEED"])
with open(os.environ["COURSE_MARGINS"], "a") as file:
    file.write(json.dumps({"number": 1, "kind": "bound", "what": "it", "threshold": 1, "value": seed, "used": seed}))
assert seed < 5, "(2) bound: too many"
"""


def notebook(*sources):
    return v4.new_notebook(cells=[v4.new_markdown_cell("text"), *map(v4.new_code_cell, sources)])


def line(value, number=1, kind="measured", what="gain", threshold=1.0, used=None):
    used = threshold / value if used is None else used
    return {"number": number, "kind": kind, "what": what, "threshold": threshold, "value": value, "used": used}


def test_a_run_has_its_seed_keeps_its_margins_and_is_not_made_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "ROOT", tmp_path)  # a `lib` that nobody changes meanwhile
    run = Run(tmp_path / "kept" / "a-4.json", notebook(COUNTED, CLAIM, COUNTED), tmp_path, seed=4)
    assert run.stored() is None
    ((_, made),) = runs.results([run])
    ((_, again),) = runs.results([run])
    assert made == again == run.stored() and made["error"] is None
    assert [check["value"] for check in made["checks"]] == [4]
    assert (tmp_path / "runs").read_text() == "xx"


def test_runs_can_be_made_by_a_cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        monkeypatch.setenv("DASK", cluster.scheduler_address)
        three = [Run(tmp_path / f"a-{seed}.json", notebook(CLAIM), tmp_path, seed=seed) for seed in (1, 2, 9)]
        made = {run.seed: result["error"] for run, result in runs.results(three)}
    assert made[1] is made[2] is None and made[9]["kind"] == "AssertionError"
    assert three[0].stored()


def test_a_run_keeps_what_was_printed_where_outputs_are_compared(tmp_path):
    compared, exempt = v4.new_code_cell("print(1)\n2"), v4.new_code_cell("print(3)", metadata={"tags": ["nbval-ignore-output"]})
    run = Run(tmp_path / "a.json", v4.new_notebook(cells=[compared, exempt]), tmp_path)
    assert run.make()["printed"] == ["1\n2", ""]


def test_a_run_stops_at_its_first_error_and_says_what_failed(tmp_path):
    ((_, made),) = runs.results([Run(tmp_path / "a.json", notebook(CLAIM, COUNTED), tmp_path, seed=7)])
    assert runs.describe(made["error"]) == "cell 2: AssertionError: (2) bound: too many"
    assert len(made["checks"]) == 1 and not (tmp_path / "runs").exists()


def test_changed_code_is_run_again_and_changed_prose_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    run = Run(tmp_path / "a.json", notebook("x = 1"), tmp_path)
    run.file.write_text(json.dumps({"key": run.key, "error": None, "seconds": 1, "checks": []}))
    run.notebook.cells[0].source = "other words"
    assert run.stored()
    run.notebook.cells[1].source = "x = 2"
    assert not run.stored()


def test_a_change_in_lib_counts_as_changed_code(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    run = Run(tmp_path / "a.json", notebook("x = 1"), tmp_path)
    before = run.key
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "new.py").write_text("x = 1")
    assert run.key != before


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("while True: pass", runs.OUT_OF_TIME, "not done after 2 CPU s"),
        ("bytearray(9 << 30)", "MemoryError", ""),
        ("import os; os._exit(3)", "DeadKernel", "its exit code is 3"),
    ],
)
def test_a_run_that_goes_wild_ends(tmp_path, source, kind, words):
    error, _ = runs.execute(notebook(source), tmp_path, one_thread(), 2)
    assert error == {"cell": 2, "kind": kind, "message": words}


def test_a_measured_claim_lies_three_deviations_inside():
    found = {seed: {"error": None, "checks": [line(value)]} for seed, value in enumerate((2.0, 3.0, 4.0), 1)}
    text, good = sweep.report("rope", found, [1, 2, 3])
    assert not good and "2.0 TOO SMALL" in text  # mean 3, deviation 1, threshold 1
    for cell in ("| 3    ", "| 1         | 2 (seed 1)", "| gain "):
        assert cell in text
    found = {seed: {"error": None, "checks": [line(value)]} for seed, value in enumerate((3.0, 4.0, 5.0), 1)}
    text, good = sweep.report("rope", found, [1, 2, 3])
    assert good and "TOO SMALL" not in text


def test_a_check_that_runs_twice_counts_where_it_is_tightest():
    found = {seed: {"error": None, "checks": [line(9.0), line(4.0), line(5.0)]} for seed in (1, 2)}
    text, good = sweep.report("rope", found, [1, 2])
    assert good and "| 4    | 0         | 4 (seed 1) | 1         | inf " in text


def test_other_claims_show_their_worst_share():
    shares = {1: 0.25, 2: 0.5, 3: -3.0}
    checks = {seed: [line(0, 4, "exact", "a fact", used=used)] for seed, used in shares.items()}
    found = {seed: {"error": None, "checks": of_seed} for seed, of_seed in checks.items()}
    text, good = sweep.report("rope", found, [1, 2, 3])
    assert good and "| (4)   | exact | a fact | 3     | 50.0% (seed 2)               |" in text


def test_failed_and_missing_runs_are_told():
    failed = {"error": {"cell": 9, "kind": "ClaimFailed", "message": "(3) exact:\nno"}, "checks": []}
    text, good = sweep.report("rope", {2: failed}, [1, 2])
    assert not good and "FAILED with seed 2: cell 9: ClaimFailed: (3) exact: no" in text
    assert "1 of 2 seeds have run" in text


def test_a_table_keeps_its_columns():
    assert runs.table(["a", "b"], [["x|y", "1"]]).splitlines() == ["| a    | b |", "|------|---|", "| x\\|y | 1 |"]
