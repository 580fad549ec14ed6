"""How time and memory grow with the size, beside what the chapters count: methods whose point is their cost.

    PYTHONPATH=book/_tools:benchmarks python benchmarks/growth/growth.py [--rounds 3]

One thread. The sizes of a method span a factor of 16 at least and take turns; of each, the median CPU time of a call, and
the most memory that a call holds beyond its inputs. An exponent is the slope of a straight line through all sizes, both
axes in logarithms; "theory" is that of the same line through the operations, or the numbers held, that the chapter counts
at these sizes, so that terms of lower order are in it. No size is left out: the smallest are so large that little of a call
is its start, and where that is not so the row says it.
"""

import gc
import math
import statistics
from collections.abc import Callable
from itertools import chain

import torch
from bench import keep_freed_memory, milliseconds, peak_mib, record, return_freed_memory, rounds
from case import Case, exponent
from numerics import boxes, systems, traces, trees, windows
from sequences import attentions, decoding, linear, units
from training import checkpointing, experts, muon, packing

HEAD = [
    "method", "chapter", "grows", "from", "to", "operations", "time exponent", "theory, time", "memory exponent", "theory, memory", "why",
]  # fmt: skip
LEAST = 20  # milliseconds of a timing, of as many calls as that takes
NOTABLE = 0.15  # between an exponent and its theory


def memory(case: Case) -> list[float]:
    """The most MiB that a call holds, by the size; the second call, as the first may fill tables that stay."""
    calls = map(case.make, case.sizes)
    return [(call(), peak_mib(call))[1] for call in calls]


def times(case: Case, turns: int) -> list[float]:
    """The median of each size's CPU time in ms, after a call of each, or two of those that are short."""
    calls = [case.make(size) for size in case.sizes]
    repeats = [1 if milliseconds(call) > LEAST else math.ceil(LEAST / milliseconds(call)) for call in calls]
    found = [list(map(milliseconds, calls, repeats)) for _ in range(turns)]
    return [statistics.median(of_size) for of_size in zip(*found, strict=True)]


def growth(case: Case, held: list[float], turns: int) -> tuple[list, list[list]]:
    """The case's row, printed as soon as it is known, and its points: name, size, ms and MiB."""
    taken = times(case, turns)
    counts = ([count(size) for size in case.sizes] for count in (case.operations, case.numbers))
    time, space, counted, numbers = (exponent(case.sizes, values) for values in (taken, held, *counts))
    why = case.why if max(abs(time - counted), abs(space - numbers)) > NOTABLE else ""
    print(f"{case.method}: time {time:.2f} ({counted:.2f}), memory {space:.2f} ({numbers:.2f})", flush=True)
    row = [case.method, case.chapter, case.grows, case.sizes[0], case.sizes[-1], case.law, time, counted, space, numbers, why]
    return row, [[case.method, *point] for point in zip(case.sizes, taken, held, strict=True)]


def main() -> None:
    turns = rounds(3)
    return_freed_memory()
    gc.freeze()  # else Python looks for garbage among all that is imported, 0.1 s in every fourth call that makes many lists
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    groups = (attentions, linear, units, decoding, windows, checkpointing, packing, experts, muon, systems, trees, boxes, traces)
    cases = list(chain.from_iterable(group() for group in groups))
    held = list(map(memory, cases))
    keep_freed_memory()
    rows, points = zip(*(growth(*case, turns) for case in zip(cases, held, strict=True)), strict=True)
    points = [[method, size, round(taken, 3), round(space, 3)] for method, size, taken, space in chain(*points)]
    what = f"medians of {turns}, the sizes in turn; memory: the process's high-water mark"
    tables = {"every size": {"head": ["method", "size", "CPU ms", "MiB"], "rows": points}}
    record("growth", HEAD, list(rows), what=what, results=tables)


if __name__ == "__main__":
    main()
