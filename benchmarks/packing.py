"""First-fit decreasing against TRL's and binpacking's packing of the same lengths, one thread, in turn.

    python benchmarks/packing.py [--rounds 9]

TRL (best-fit decreasing) and binpacking are no part of the tests' environment: install them for the time, with
`pip install --no-deps trl==1.16.0 binpacking==2.0.1 pyarrow datasets` and what these ask for. TRL lays the tokens out as
well, of one byte each here. binpacking gets a twentieth of the lengths.
"""

import time
from functools import partial

import numpy as np
import pyarrow as pa
from bench import in_turn, milliseconds, record, rounds
from binpacking import to_constant_volume
from trl.data_utils import _pack_bfd

from lib.systems.packing import first_fit_decreasing

CAPACITY, COUNT, FEWER = 2048, 100_000, 5_000


def main() -> None:
    turns = rounds(9)
    drawn = np.random.default_rng(0).lognormal(5.5, 1, COUNT)
    lengths = drawn.astype(int).clip(1, CAPACITY).tolist()
    starts, tokens = np.cumsum([0, *lengths]).astype(np.int32), np.zeros(sum(lengths), dtype=np.int8)
    documents = pa.table({"tokens": pa.ListArray.from_arrays(starts, tokens)})
    few, table = lengths[:FEWER], []
    pairs = {
        f"{COUNT:,} lengths / TRL": (lambda: first_fit_decreasing(lengths, CAPACITY), lambda: _pack_bfd(documents, CAPACITY)),
        f"{FEWER:,} lengths / binpacking": (lambda: first_fit_decreasing(few, CAPACITY), lambda: to_constant_volume(few, CAPACITY)),
    }
    for row, (ours, theirs) in pairs.items():
        table.append([*in_turn(row, partial(milliseconds, clock=time.perf_counter), ours, theirs, turns), len(ours()), len(theirs())])
    head = ["ours / peer", "ms", "peer's", "ratio", "rows", "peer's rows"]
    record("packing", head, table, what=f"medians of {turns}, in turn; TRL 1.16.0, binpacking 2.0.1")


if __name__ == "__main__":
    main()
