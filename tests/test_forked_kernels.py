"""A kernel forked for `make notebooks` is in a fresh kernel's state, obeys as one does, and keeps nobody waiting."""

import inspect
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import forked_kernels
import kernel_server
import psutil
import pytest
from jupyter_client import BlockingKernelClient, KernelManager
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from toolbox import one_thread

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
SOON = 30  # seconds, on a busy machine
DEAF = """
import os, signal, subprocess, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: None)
subprocess.Popen(["sleep", "600"])
print("ready", flush=True)
while True:
    time.sleep(1)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[forked_kernels.KernelServer]:
    with started_server() as started:
        yield started


@contextmanager
def started_server() -> Iterator[forked_kernels.KernelServer]:
    """A server that forks the kernels of this process until the block is left."""
    with mock.patch.dict(os.environ, one_thread(), clear=True):
        server = forked_kernels.KernelServer()
    with mock.patch.object(forked_kernels.ForkedProvisioner, "address", server.address):
        yield server
    server.stop()


@contextmanager
def kernel(
    provisioner: str = forked_kernels.NAME, folder: str = "."
) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """A running kernel, which is killed when the block is left."""
    manager = KernelManager(kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager())
    manager.kernel_spec.metadata["kernel_provisioner"] = {"provisioner_name": provisioner}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    manager.start_kernel(env=one_thread(), cwd=folder, **streams)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> list[str]:
    """Execute code that does not fail; returns the types of its outputs."""
    types = []
    reply = client.execute_interactive(code, timeout=60, output_hook=lambda message: types.append(message["msg_type"]))
    assert reply["content"]["status"] == "ok", reply["content"]
    return [name for name in types if name not in ("status", "execute_input")]


def begin(client: BlockingKernelClient, code: str) -> str:
    """Have code executed that does not end by itself, and wait for its first output; returns the request's id."""
    request = client.execute(code)
    wait_until(lambda: client.get_iopub_msg(timeout=SOON)["msg_type"] == "stream")
    return request


def wait_until(condition) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, f"still waiting after {SOON} s"
        time.sleep(0.05)


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def state() -> dict:
    """What a kernel is like; it runs in the kernel, by its source."""
    import asyncio
    import atexit
    import contextlib
    import decimal
    import gc
    import logging
    import multiprocessing
    import os
    import random
    import re
    import resource
    import signal
    import stat
    import sys
    import threading
    import warnings
    import zlib

    import matplotlib.pyplot as plt
    import numpy as np
    import sympy
    import torch

    gc.collect()  # garbage may hold descriptors
    kinds = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed by now
            kind = stat.S_IFMT(os.stat(f"/proc/self/fd/{descriptor}").st_mode)
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            # a fresh kernel keeps one eventfd more from importing the debugger
            if kind not in (stat.S_IFREG, stat.S_IFDIR) and target != "anon_inode:[eventfd]":
                kinds.append(kind)
    generators = {
        "random": random.getstate(),
        "numpy": np.random.get_state(),
        "sympy": sympy.core.random.rng.getstate(),
        "sympy's assumptions": sympy.core.random._assumptions_rng.getstate(),
        "torch": torch.get_rng_state().tolist(),
    }
    ipython = get_ipython()  # noqa: F821
    return {
        "generators": {name: zlib.crc32(repr(value).encode()) for name, value in generators.items()},
        "own": [sys.argv[2], os.environ["JPY_PARENT_PID"]],
        "parent": os.getppid() == int(os.environ["JPY_PARENT_PID"]),
        "modules": sorted(sys.modules),
        "arguments": [sys.argv[0], len(sys.argv)],
        "interpreter": [sys.executable, str(sys.flags), sys._xoptions, sys.getrecursionlimit()],
        "imports": [sys.path, [type(finder).__name__ for finder in sys.meta_path], len(sys.path_hooks)],
        "hooks": [str(type(hook)) for hook in (sys.displayhook, sys.excepthook, sys.stdin, sys.stdout, sys.stderr)],
        "folder": os.getcwd(),
        "environment": {name: value for name, value in sorted(os.environ.items()) if name != "JPY_PARENT_PID"},
        "names": sorted(name for name in globals() if name != "state"),
        "main": [__name__, vars(sys.modules["__main__"]) is globals()],
        "warnings": sorted(map(str, warnings.filters)),
        "logging": [str(logging.root.handlers), logging.root.level, sorted(logging.root.manager.loggerDict)],
        "signals": {number.name: str(signal.getsignal(number)).split(" at ")[0] for number in signal.Signals},
        "blocked signals": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "threads": sorted(re.sub(r"-\d+", "", thread.name) for thread in threading.enumerate()),
        "tasks": len(os.listdir("/proc/self/task")),
        "descriptors": sorted(kinds),
        "limits": [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")],
        "process": [os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid(), os.nice(0)],
        "multiprocessing": [str(multiprocessing.current_process()), str(multiprocessing.parent_process())],
        "loop": asyncio._get_running_loop() is not None,
        "memory": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), atexit._ncallbacks()],
        "decimal": str(decimal.getcontext()),
        "numpy": [str(np.geterr()), str(np.get_printoptions())],
        "torch": [torch.get_num_threads(), torch.get_num_interop_threads(), str(torch.get_default_dtype())],
        "matplotlib": [plt.get_backend(), plt.isinteractive(), str(sorted(plt.rcParams.items()))],
        "ipython": [sorted(ipython.magics_manager.magics["line"]), ipython.execution_count],
        "events": {event: [call.__qualname__ for call in calls] for event, calls in ipython.events.callbacks.items()},
    }


def recorded(provisioner: str, folder: Path, before: str) -> dict:
    """The state of a new kernel after the code `before` and a figure."""
    with kernel(provisioner, str(folder)) as (_, client):
        run(client, before)
        assert run(client, "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()") == ["display_data"]
        run(client, inspect.getsource(state) + "\nimport json\njson.dump(state(), open('state.json', 'w'))")
    return json.loads((folder / "state.json").read_text())


def test_the_state_is_a_fresh_kernels(server, tmp_path):
    imports = "\n".join(f"import {name}" for name in kernel_server.common_modules())
    fresh = recorded("local-provisioner", tmp_path, imports)
    first, second = recorded("forked", tmp_path, imports), recorded("forked", tmp_path, imports)
    for name in fresh["generators"]:
        states = {one["generators"][name] for one in (fresh, first, second)}
        assert len(states) == 3, f"two kernels begin with the same state of {name}"
    assert len({str(one["own"]) for one in (fresh, first, second)}) == 3
    for name in fresh.keys() - {"generators", "own"}:
        assert first[name] == second[name] == fresh[name], name


def test_a_kernel_is_interrupted_restarted_and_shut_down(server):
    with kernel() as (manager, client):
        request = begin(client, "import time\nprint('begun')\nwhile True: time.sleep(1)")
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=SOON)
        assert reply["parent_header"]["msg_id"] == request and reply["content"]["ename"] == "KeyboardInterrupt"
        before = manager.provisioner.process
        manager.restart_kernel()
        client.wait_for_ready(timeout=SOON)
        assert gone(before) and manager.is_alive()
        run(client, "assert 'time' not in globals()")
        after = manager.provisioner.process
        manager.shutdown_kernel()
        assert gone(after) and not manager.is_alive()


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_kernel_that_dies_is_seen_to_be_dead(server, end):
    with kernel() as (manager, client):
        client.execute(f"import os\n{end}")
        wait_until(lambda: not manager.is_alive())


def test_a_kernel_that_ignores_signals_is_killed_with_its_children(server):
    with kernel() as (manager, client):
        begin(client, DEAF)
        process = manager.provisioner.process
        family = [process, *process.children()]
    assert len(family) == 2
    wait_until(lambda: all(gone(one) for one in family))


def test_the_time_of_ended_kernels_is_counted_once_by_the_server(server):
    with kernel() as (manager, client):
        run(client, "import time\nwhile time.process_time() < 1: pass")
    with kernel():
        times = psutil.Process(server.process.pid).cpu_times()
    assert times.children_user + times.children_system > 1


def test_when_the_server_ends_its_kernels_end_and_no_other_starts():
    with started_server() as server, kernel() as (manager, _):
        server.process.kill()
        wait_until(lambda: not manager.is_alive())
        with pytest.raises(RuntimeError, match="kernel server has ended"), kernel():
            pass


def test_a_server_that_does_not_answer_is_an_error(tmp_path):
    address = str(tmp_path / "silent")
    with (
        socket.socket(socket.AF_UNIX) as listener,
        mock.patch.object(forked_kernels, "SECONDS", 0.2),
        mock.patch.object(forked_kernels.ForkedProvisioner, "address", address),
    ):
        listener.bind(address)
        listener.listen()
        with pytest.raises(RuntimeError, match="has ended or hangs"), kernel():
            pass
