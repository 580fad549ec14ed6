"""The process from which kernels are forked: it has loaded what chapters share, and has one thread.

    python book/_tools/kernel_server.py LISTENER

LISTENER is the descriptor of a listening Unix socket. Whoever connects sends a kernel's command, folder and
environment as JSON, and receives its pid. The server ends when its standard input does. Its kernels share the seed of
Python's hashes, and a submodule that one of their imports forgets may be there already: `make run` starts afresh.
"""

import gc
import importlib.util
import json
import os
import pkgutil
import select
import socket
import sys
from contextlib import suppress

import psutil

FOR_KERNELS = ["ipykernel.kernelapp", "ipykernel.debugger", "IPython.core.completerlib"]
FOR_CHAPTERS = ["matplotlib.pyplot", "scipy.stats", "sklearn.ensemble", "sympy", "torch._dynamo"]


def common_modules() -> list[str]:
    """The names of the modules that the server loads: all of lib, and what chapters import beside it."""
    own = pkgutil.walk_packages(importlib.import_module("lib").__path__, "lib.")
    return FOR_KERNELS + FOR_CHAPTERS + [module.name for module in own]


def load() -> None:
    """Import what chapters share. Ends with an error where that has started threads, which no fork would have."""
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as a kernel does
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # so that a kernel ends when the server has ended
    gc.disable()  # imports leave little garbage
    for name in common_modules():
        importlib.import_module(name)
    sys.modules["matplotlib.mathtext"].MathTextParser("agg").parse("$x$")  # builds its grammar
    gc.enable()
    gc.collect()  # all that lives by now is old, so that no kernel looks through it soon
    if (threads := psutil.Process().num_threads()) > 1:
        sys.exit(f"The kernel server has {threads} threads and cannot be forked: set OMP_NUM_THREADS=1.")


def serve(listener: socket.socket) -> dict | None:
    """Fork a kernel for each request. Returns the request in the kernel, and nothing in the server, at its end."""
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # ended kernels, whose CPU time counts from here on
                pass
        if 0 in ready:
            return None
        connection, _ = listener.accept()
        connection.settimeout(10)
        with connection:
            request = json.load(connection.makefile())
            if (pid := os.fork()) == 0:
                return request
            connection.sendall(str(pid).encode())


def become_kernel(command: list[str], cwd: str, env: dict[str, str]) -> None:
    """Give this fork what a fresh process would have, and start ipykernel as its launcher does."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env, JPY_PARENT_PID=str(os.getppid()))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.close(nothing)
    for module in ("numpy.random", "sympy.core.random", "torch.random"):  # Python's own reseeds itself in a fork
        sys.modules[module].seed()
    sys.argv = [importlib.util.find_spec("ipykernel_launcher").origin, *command[command.index("-f") :]]
    sys.modules["ipykernel.kernelapp"].launch_new_instance()


if __name__ == "__main__":
    del sys.path[0]  # the folder of this script
    given = set(os.environ)
    load()
    set_by_imports = {name: os.environ[name] for name in os.environ.keys() - given}
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        request = serve(listener)
    if not request:
        os._exit(0)  # to take down all that has been imported would take a second
    become_kernel(request["command"], request["cwd"], set_by_imports | request["env"])
