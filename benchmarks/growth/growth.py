"""How time and memory grow with the size, beside what the chapters count: methods whose point is their cost.

    PYTHONPATH=book/_tools:benchmarks python benchmarks/growth/growth.py [--rounds 5]

One thread. The sizes of a method span a factor of 16 at least and take turns; of each, the median CPU time of a call, and
the most memory that a call holds beyond its inputs. An exponent is the slope of a straight line through all sizes, both
axes in logarithms; "theory" is that of the same line through the operations, or the numbers held, that the chapter counts
at these sizes, so that terms of lower order are in it. No size is left out: the smallest are so large that little of a call
is its start, and where that is not so the row says it.
"""

import math
import statistics
from collections.abc import Callable
from itertools import chain

import torch
from bench import keep_freed_memory, milliseconds, peak_mib, record, rounds
from case import Case, exponent
from numerics import boxes, systems, traces, trees, windows
from sequences import attentions, decoding, linear, units
from training import checkpointing, experts, muon, packing

HEAD = [
    "method", "chapter", "grows", "from", "to", "operations", "time exponent", "theory, time", "memory exponent", "theory, memory", "why",
]  # fmt: skip
LEAST = 20  # milliseconds of a timing, of as many calls as that takes
NOTABLE = 0.15  # between an exponent and its theory


def times(calls: dict[int, Callable], turns: int) -> list[float]:
    """The median of each size's time in ms, after one call of each."""
    for call in calls.values():
        call()
    repeats = {size: math.ceil(LEAST / milliseconds(call)) for size, call in calls.items()}
    found = [[milliseconds(call, repeats[size]) for size, call in calls.items()] for _ in range(turns)]
    return [statistics.median(of_size) for of_size in zip(*found, strict=True)]


def measured(case: Case, turns: int) -> tuple[list, list[list]]:
    """The case's row, printed as soon as it is known, and its points: name, size, ms and MiB."""
    calls = {size: case.make(size) for size in case.sizes}
    taken, held = times(calls, turns), [peak_mib(call) for call in calls.values()]
    counts = ([count(size) for size in case.sizes] for count in (case.operations, case.numbers))
    time, memory, counted, numbers = (exponent(case.sizes, values) for values in (taken, held, *counts))
    notable = max(abs(time - counted), abs(memory - numbers)) > NOTABLE
    row = [case.method, case.chapter, case.grows, case.sizes[0], case.sizes[-1], case.law, time, counted, memory, numbers, case.why if notable else ""]
    print(f"{case.method}: time {time:.2f} ({counted:.2f}), memory {memory:.2f} ({numbers:.2f})", flush=True)
    return row, [[case.method, *point] for point in zip(case.sizes, taken, held, strict=True)]


def main() -> None:
    turns = rounds(5)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    keep_freed_memory()
    groups = (attentions, linear, units, decoding, windows, checkpointing, packing, experts, muon, systems, trees, boxes, traces)
    rows, points = zip(*(measured(case, turns) for case in chain.from_iterable(group() for group in groups)), strict=True)
    points = [[method, size, round(taken, 3), round(held, 3)] for method, size, taken, held in chain(*points)]
    what = f"medians of {turns}, the sizes in turn; memory: the process's high-water mark"
    tables = {"every size": {"head": ["method", "size", "CPU ms", "MiB"], "rows": points}}
    record("growth", HEAD, list(rows), what=what, results=tables)


if __name__ == "__main__":
    main()
