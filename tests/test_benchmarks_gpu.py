"""The GPU benchmarks, tried in tiny sizes on whatever there is: each ends, keeps what it must, and computes what it says."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks" / "gpu"
TABLES = {
    "matmul": 4,
    "training_precision": 2,
    "checkpointing": 1,
    "packing": 1,
    "medusa": 1,
    "long_sequences": 2,
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """What a script has kept, by its name; each runs once."""
    folder, results = tmp_path_factory.mktemp("results"), {}

    def run(name: str) -> dict:
        if name not in results:
            command = [sys.executable, FOLDER / f"{name}.py", "--small", "--out", folder]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
            assert not done.returncode, done.stderr[-3000:]
            results[name] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return results[name]

    return run


def rows(result: dict, table: int = 0) -> dict[str, dict]:
    """The rows of a table by their first cell, each a dict by column."""
    chosen = list(result["results"].values())[table]
    return {row[0]: dict(zip(chosen["head"], row, strict=True)) for row in chosen["rows"]}


@pytest.mark.parametrize("name", TABLES)
def test_a_result_says_what_it_depends_on(kept, name):
    result = kept(name)
    assert {"device", "driver", "cuda", "versions", "date", "commit", "command", "settings", "results", "beside"} <= result.keys()
    assert {"python", "torch", "triton"} == result["versions"].keys()
    assert date.fromisoformat(result["date"])
    assert result["command"].startswith(f"python benchmarks/gpu/{name}.py --small")
    assert len(result["results"]) == TABLES[name]
    for table in result["results"].values():
        assert table["rows"]
        assert {len(row) for row in table["rows"]} == {len(table["head"])}


def test_products_are_off_by_their_formats_rounding(kept):
    errors = rows(kept("matmul"), 1)
    assert errors["FP32"]["of all"] < 1e-6
    assert errors["FP16"]["of all"] < errors["BF16"]["of all"] < 0.004
    assert 0.03 < errors["FP8, per tensor"]["of all"] < 0.05
    far = rows(kept("matmul"), 3)
    assert far["FP8, per tensor"]["of all"] > 5 * errors["FP8, per tensor"]["of all"], "most of them should have underflowed"


def test_tiles_keep_an_outlier_to_itself(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from matmul import from_fp8, to_fp8

    x = torch.randn(256, 512, generator=torch.Generator().manual_seed(0))
    x[3, 5] = 1e6
    for rows_, columns, touched in ((1, 128, 1), (128, 128, 128), (1, 512, 1), (256, 512, 256)):
        q, scales = to_fp8(x, rows_, columns)
        assert scales.shape == (256 // rows_, 512 // columns)
        lost = (from_fp8(q, scales) == 0).float().mean(1) > columns / 1024
        assert lost.sum() == touched, "rows whose numbers underflow in the outlier's tile"


def test_all_formats_train(kept):
    losses = rows(kept("training_precision"))
    assert losses.keys() == {"FP32", "TF32", "BF16", "FP16, scaled loss", "FP8, per tensor, E5M2 gradients", "FP8, per row, E4M3"}
    assert all(abs(row["gap to FP32 %"]) < 1 for row in losses.values())
    assert losses["FP8, per row, E4M3"]["gap to FP32 %"] != 0, "FP8 was not used"


def test_checkpointed_gradients_are_those_of_the_plain_step(kept):
    assert all(row["status"] == "ok" and row["gradients off by"] < 1e-5 for row in rows(kept("checkpointing")).values())


def test_packed_gradients_are_those_of_padded_documents(kept):
    layouts = rows(kept("packing"))
    assert layouts["packed end to end, variable lengths"]["real places"] == 1
    assert sum(row["status"] == "ok" and row["gradient off by"] < 1e-5 for row in layouts.values()) >= 4  # a CPU has no flex


def test_trees_promise_what_the_chapter_on_medusa_says(kept, monkeypatch):
    for row in kept("medusa")["results"]["one pass"]["rows"]:
        assert row[1] != 5 or row[7] == pytest.approx(1.909, abs=1e-3)
    monkeypatch.syspath_prepend(FOLDER)
    from medusa import tokens_per_pass, tree_of

    assert tokens_per_pass(tree_of(64)) == pytest.approx(2.38, abs=0.005)


def test_lengths_cross_where_times_are_equal(kept, monkeypatch):
    assert all(row["status"] == "ok" for row in rows(kept("long_sequences")).values())
    monkeypatch.syspath_prepend(FOLDER)
    from long_sequences import crossing, slope

    quadratic, linear = [(n, n * n / 1000) for n in (512, 2048, 8192)], [(n, 4.0 * n) for n in (512, 2048, 8192)]
    assert float(crossing(linear, quadratic)) == pytest.approx(4000, rel=1e-3)
    assert slope(quadratic) == pytest.approx(2)
    assert crossing(quadratic[:1], linear) == "below 512"
