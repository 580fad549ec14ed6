"""The GPU benchmarks, tried in tiny sizes on whatever there is: each ends, keeps what it must, and computes what it says."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"
TABLES = {
    "matmul": 4,
    "training_precision": 2,
    "checkpointing": 1,
    "packing": 1,
    "medusa": 1,
    "long_sequences": 2,
    "distributed": 3,
    "length_extrapolation": 3,
    "flow_couplings": 3,
    "edm_samplers": 5,
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
        assert {len(row) for row in table["rows"]} == {len(set(table["head"]))}


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
    assert all(abs(row["training gap to FP32 %"]) < 1 for row in losses.values())
    assert losses["FP8, per row, E4M3"]["training gap to FP32 %"] != 0, "FP8 was not used"


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


def test_a_node_sees_its_past_and_nothing_beside_it(monkeypatch):
    """What the model wants behind a node of a tree is what it wants behind the end of that node's path alone."""
    monkeypatch.syspath_prepend(FOLDER)
    import medusa

    torch.manual_seed(0)
    model, past = medusa.Llama(32, 2, 2, 64, 64), 8
    parents, held = medusa.tree_of(9).parents, [torch.randn(2, 2, past, 16) for _ in range(2)]
    tokens = torch.randint(64, (9,))

    def wanted(parents, tokens, attend):
        monkeypatch.setattr(medusa, "tree_of", lambda nodes: medusa.Tree(parents, torch.zeros_like(parents)))
        monkeypatch.setattr(torch, "randint", lambda *_, **__: tokens)
        cache = [tuple(torch.cat([layer, torch.full((2, 2, 16, 16), 9.0)], 2)) for layer in held]
        return medusa.new_pass(model, cache, past, len(parents), True, attend)()

    tree = [wanted(parents, tokens, attend) for attend in (medusa.fused, medusa.written_out)]
    assert all(torch.equal(*pair) for pair in zip(*tree, strict=True))
    for node in range(9):
        path = [node]
        while path[0]:
            path.insert(0, int(parents[path[0]]))
        alone = wanted(torch.arange(-1, len(path) - 1), tokens[path], medusa.fused)
        assert all(torch.equal(of_tree[node], of_path[-1]) for of_tree, of_path in zip(tree[0], alone, strict=True))


def test_lengths_cross_where_times_are_equal(kept, monkeypatch):
    assert all(row["status"] == "ok" for row in rows(kept("long_sequences")).values())
    monkeypatch.syspath_prepend(FOLDER)
    from long_sequences import crossing, slope

    quadratic, linear = [(n, n * n / 1000) for n in (512, 2048, 8192)], [(n, 4.0 * n) for n in (512, 2048, 8192)]
    assert float(crossing(linear, quadratic)) == pytest.approx(4000, rel=1e-3)
    assert slope(quadratic) == pytest.approx(2)
    assert crossing(quadratic[:1], linear) == "below 512"


def test_processes_agree_with_one_that_has_everything(kept):
    step, mixture = (rows(kept("distributed"), table) for table in (1, 2))
    assert step["data-parallel"]["gradients off by"] < 1e-5
    assert mixture["shared out"]["outputs off by"] < 1e-5
    assert 2 * mixture["shared out"]["weights a GPU"] == mixture["all on every GPU"]["weights a GPU"]
