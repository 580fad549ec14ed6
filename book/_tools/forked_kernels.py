"""A pytest plugin beside nbval: its kernels are forked from one process that has loaded what chapters share.

Each is in the state of a fresh kernel, without the seconds that the imports take.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path

import nbval.kernel
import psutil
import pytest
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner
from toolbox import usage

SERVER = Path(__file__).with_name("kernel_server.py")
NAME = "forked"
SECONDS = 60  # for an answer of the server, its imports included


class KernelServer:
    """The server's process, which listens at `address` and ends with the process that starts it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.address = f"{self.folder}/kernels"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen()
            end = listener.fileno()
            self.process = subprocess.Popen(
                [sys.executable, SERVER, str(end)],
                stdin=subprocess.PIPE,
                pass_fds=[end],
                start_new_session=True,
                env=os.environ | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"},  # else the debugger warns when it is imported
            )

    def stop(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            shutil.rmtree(self.folder)


class ForkedProcess(psutil.Process):
    """What a provisioner asks of a `subprocess.Popen`, for a process that is not this one's child; nothing waits."""

    stdin = stdout = stderr = None

    def poll(self) -> int | None:
        with suppress(psutil.NoSuchProcess):
            if self.is_running() and self.status() != psutil.STATUS_ZOMBIE:
                return None
        return 0

    wait = poll

    def send_signal(self, signum: int) -> None:
        with suppress(psutil.NoSuchProcess):
            super().send_signal(signum)


class ForkedProvisioner(LocalProvisioner):
    """Starts a kernel by asking the server at `address` for it. Raises a RuntimeError if none comes."""

    address = ""

    async def launch_kernel(self, cmd: list[str], *, cwd: str, env: dict[str, str], **_) -> dict:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(SECONDS)
                connection.connect(self.address)
                connection.sendall(json.dumps({"command": cmd, "cwd": cwd, "env": env}).encode())
                connection.shutdown(socket.SHUT_WR)
                self.pid = self.pgid = int(connection.recv(32))
        except (OSError, ValueError) as error:
            raise RuntimeError(f"The kernel server has ended or hangs ({error!r}); see its message above.") from error
        self.process, self.cwd = ForkedProcess(self.pid), cwd
        return self.connection_info


KernelProvisionerFactory.provisioners[NAME] = EntryPoint(
    NAME, f"{__name__}:ForkedProvisioner", KernelProvisionerFactory.GROUP_NAME
)


def pytest_configure(config: pytest.Config) -> None:
    """Start the server, or in one of xdist's workers use that of the process which started it."""
    if hasattr(config, "workerinput"):
        ForkedProvisioner.address = config.workerinput["kernel_server"]
    else:
        config.kernel_server = KernelServer()
        config.add_cleanup(config.kernel_server.stop)
        ForkedProvisioner.address = config.kernel_server.address
    KernelProvisionerFactory.instance().default_provisioner_name = NAME
    nbval.kernel.pformat = lambda message: message  # nbval lays every message out for its log, whether or not it is kept


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    node.workerinput["kernel_server"] = node.config.kernel_server.address


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    process = config.kernel_server.process
    if process.poll() is None:
        seconds, gigabytes = usage(process.pid)
        terminalreporter.line(f"{'imports shared by all':<30} {seconds:6.1f} CPU s {gigabytes:6.2f} GB")
