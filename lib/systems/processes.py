"""One function run by several processes that exchange tensors: what a cluster does, on one machine."""

import marshal
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from inspect import isfunction
from pathlib import Path

import torch

from lib.course.ranges import require_positive

# What each process runs. It needs torch alone: functions come as their code, not by import.
_PROGRAM = """
import marshal, sys, types
from datetime import timedelta
from pathlib import Path
import torch
import torch.distributed as dist

folder, rank, world = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
names = {"__builtins__": __builtins__, "__name__": "process", "torch": torch, "dist": dist}
for name, (code, defaults) in marshal.loads((folder / "functions").read_bytes()).items():
    names[name] = types.FunctionType(code, names, name, defaults)
dist.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=world,
                        timeout=timedelta(seconds=float(sys.argv[4])))
result = names["<function>"](*torch.load(folder / f"input {rank}"))
dist.barrier()
torch.save(result, folder / f"result {rank}")
dist.destroy_process_group()
"""
_GRACE = 2.0  # seconds for the others, once one has failed
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def on_processes(
    function: Callable, inputs: Sequence[tuple], names: Mapping[str, Callable] = {}, *, timeout: float = 120.0
) -> list:
    """`function(*inputs[rank])` in a process for each of the inputs; the list of results, by rank.

    The processes form a gloo group, joined by the loopback interface. A function sees torch, torch.distributed as
    `dist`, and the functions in `names` under these names, and nothing else: it is a plain function without closure.
    Inputs and results are tensors, numbers, strings, and lists, tuples and dicts of them. A process that fails or takes
    more than `timeout` seconds ends them all, with a `RuntimeError` or a `TimeoutError`. None outlives the call.
    """
    require_positive("timeout", timeout)
    if not inputs:
        raise ValueError("inputs must hold the arguments of at least one process, got none")
    functions = {**names, "<function>": function}
    for name, other in functions.items():
        if not isfunction(other) or other.__closure__:
            raise ValueError(f"{name} must be a plain function without closure, got {other!r}")
    with tempfile.TemporaryDirectory(prefix="processes-") as name:
        folder = Path(name)
        codes = {name: (other.__code__, other.__defaults__) for name, other in functions.items()}
        (folder / "functions").write_bytes(marshal.dumps(codes))
        for rank, arguments in enumerate(inputs):
            torch.save(tuple(arguments), folder / f"input {rank}")
        _run(folder, len(inputs), timeout)
        return [torch.load(folder / f"result {rank}") for rank in range(len(inputs))]


def _run(folder, world, timeout):
    """Start the processes and wait until all have ended well; whatever happens, none is left."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if sys.platform in _LOOPBACK:
        environment["GLOO_SOCKET_IFNAME"] = _LOOPBACK[sys.platform]
    running, end = [], time.monotonic() + timeout
    try:
        for rank in range(world):
            command = [sys.executable, "-c", _PROGRAM, str(folder), str(rank), str(world), str(timeout)]
            with open(folder / f"errors {rank}", "wb") as errors:
                streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": errors}
                running.append(subprocess.Popen(command, env=environment, **streams))
        while None in [process.poll() for process in running]:
            if any(process.returncode for process in running):
                end = min(end, time.monotonic() + _GRACE)
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        failed = [rank for rank, process in enumerate(running) if process.returncode]
        if failed:
            errors = [(folder / f"errors {rank}").read_text(errors="replace") for rank in failed]
            texts = [f"process {rank} failed:\n{text}" for rank, text in zip(failed, errors, strict=True)]
            raise RuntimeError("\n".join(texts))
        if any(process.returncode is None for process in running):
            raise TimeoutError(f"{world} processes did not end within {timeout:g} seconds")
    finally:
        for process in running:
            process.kill()
            process.wait()
