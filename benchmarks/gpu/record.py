"""What the GPU benchmarks share: their arguments, the stopwatch, the peak of memory, and how a result is printed and kept.

They run on any machine with torch: on a GPU with times by CUDA events, on a CPU with the host's clock, which is only to
try them (`--small`).
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # for lib

# Dense TFLOP/s of an H200 (SXM): half of what https://www.nvidia.com/en-us/data-center/h200/ lists with sparsity.
PEAK = {"FP32": 67, "TF32": 494.5, "BF16": 989, "FP16": 989, "FP8": 1979}
# Bytes a second that its memory gives, from the same page.
BANDWIDTH = 4.8e12


def arguments(description: str, **more: dict) -> argparse.Namespace:
    """The command line of a benchmark; `more` adds options, by name, as argparse takes them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the script: the numbers mean nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu", help="folder of the result")
    parser.add_argument("--rounds", type=int, default=7, help="how many timings the median is taken of")
    for name, options in more.items():
        parser.add_argument(f"--{name}", **options)
    chosen = parser.parse_args()
    if chosen.small:
        chosen.rounds = min(chosen.rounds, 2)
        torch.set_num_threads(1)
    elif not torch.cuda.is_available():
        parser.error("this needs a CUDA GPU; --small tries the script without one")
    return chosen


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(dtype: torch.dtype = torch.bfloat16) -> torch.autocast:
    """Half precision where it is quick; float32 on a CPU. Nothing is cached, so that graphs can be captured in it."""
    return torch.autocast(device().type, dtype, cache_enabled=False) if device().type == "cuda" else nullcontext()


def say(text: str) -> None:
    print(text, flush=True)


def attempt(function: Callable, *inputs) -> tuple:
    """The function's result and None, or None and why it failed, in a line: a variant may not exist on this machine."""
    try:
        result = function(*inputs)
        if device().type == "cuda":
            torch.cuda.synchronize()
        return result, None
    except Exception as error:  # whatever a library raises for what it cannot do
        reason = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
    with suppress(RuntimeError):
        torch.cuda.empty_cache()
    return None, reason[:200]


class Stopwatch:
    """Milliseconds of calls. On a GPU the level-2 cache is overwritten before each, which also gives the host time to launch."""

    def __init__(self, *, flush: bool = True):
        self.on_gpu = device().type == "cuda"
        self.cache = torch.empty(256 << 20, dtype=torch.int8, device=device()) if self.on_gpu and flush else None

    def burst(self, function: Callable, calls: int = 3) -> float:
        """The median of a few calls, launched without waiting for one another, so that the host can run ahead."""
        if not self.on_gpu:
            begin = time.perf_counter()
            function()
            return 1e3 * (time.perf_counter() - begin)
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(calls)]
        for begin, end in pairs:
            if self.cache is not None:
                self.cache.zero_()
            begin.record()
            function()
            end.record()
        torch.cuda.synchronize()
        return statistics.median(begin.elapsed_time(end) for begin, end in pairs)

    def in_turn(self, functions: dict[str, Callable], rounds: int, warm: int = 2) -> dict[str, float | str]:
        """By name, the median of `rounds` bursts, taken in turn after `warm` calls; or why the function fails."""
        medians, times = {}, {}
        for name, function in functions.items():
            for _ in range(warm):
                _, reason = attempt(function)
                if reason:
                    medians[name] = reason
                    say(f"  {name}: {reason}")
                    break
            else:
                times[name] = []
        for _ in range(rounds):
            for name, taken in times.items():
                taken.append(self.burst(functions[name]))
        return {name: statistics.median(times[name]) if name in times else medians[name] for name in functions}


def extra_bytes(function: Callable) -> int | None:
    """The most that a call holds at a time beyond what was held before, on a GPU; None elsewhere."""
    if device().type != "cuda":
        function()
        return None
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _output(*command: str) -> str | None:
    try:
        return subprocess.check_output(command, cwd=ROOT, text=True, stderr=subprocess.DEVNULL).strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _commit() -> str:
    """What the environment's COMMIT says, for a copy without its history; else this checkout's commit."""
    return os.environ.get("COMMIT") or _output("git", "describe", "--always", "--dirty") or "unknown"


def _machine() -> dict:
    """What the numbers depend on."""
    gpu = device().type == "cuda"
    driver = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if gpu else None
    triton = find_spec("triton") and __import__("triton").__version__
    return {
        "device": torch.cuda.get_device_name() if gpu else f"CPU, {platform.machine()}",
        "driver": driver and driver.splitlines()[0],
        "cuda": torch.version.cuda,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "triton": triton},
    }


def _rounded(value):
    """Five digits; a number that is none has no place in JSON, and becomes its name."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else str(value)
    return value


def _shown(value) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:70]


def record(name: str, chosen: argparse.Namespace, settings: dict, results: dict[str, tuple[list, list]], beside: str) -> None:
    """Print tables, {name: (head, rows)}, and keep them as JSON. `beside` says what a source reports, and where."""
    options = [f"--{key}" if value is True else f"--{key} {value}" for key, value in vars(chosen).items() if key != "out" and value is not False]
    about = _machine() | {"date": date.today().isoformat(), "commit": _commit()}
    about["command"] = " ".join([f"python benchmarks/gpu/{name}.py", *options])
    tables = {}
    for title, (head, rows) in results.items():
        rows = [[_rounded(cell) for cell in row] for row in rows]
        tables[title] = {"head": head, "rows": rows}
        lines = [head, *([_shown(cell) for cell in row] for row in rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        say(f"\n{title}")
        for line in lines:
            say("  " + "  ".join(cell.ljust(width) if not i else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths, strict=True))))
    say(f"\n{beside}\n{about['device']}, {about['versions']}, commit {about['commit']}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    kept = about | {"settings": settings, "results": tables, "beside": beside}
    (chosen.out / f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
