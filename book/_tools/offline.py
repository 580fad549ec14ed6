"""Run a command that reaches no other computer: this one's own network, 127.0.0.1, is all there is.

    python book/_tools/offline.py COMMAND …

On Linux the command gets a network of its own from the kernel. Where that is not allowed, or not to be had, Python refuses
in every process of the command what is not local, which holds for Python alone. `test_offline.py` proves both.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

GUARD = Path(__file__).with_name("offline_guard")
CUT = "BOOK_OFFLINE"  # set for the command: "kernel" or "python"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy")
SIOCGIFFLAGS, SIOCSIFFLAGS, UP = 0x8913, 0x8914, 1


def new_network() -> list[str]:
    """The command that runs another one in a network of its own; empty where there is none."""
    unshare = shutil.which("unshare")
    if sys.platform != "linux" or unshare is None:
        return []
    command = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--net", "--map-root-user"]
    works = subprocess.run([*command, sys.executable, __file__, "--up", "true"], capture_output=True).returncode == 0
    return [*command, sys.executable, __file__, "--up"] if works else []


def switch_on_loopback() -> None:
    """A new network has 127.0.0.1 switched off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh", b"lo", 0).ljust(40, b"\0")
        flags = struct.unpack_from("16sh", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | UP).ljust(40, b"\0"))


def without_network(refuse: bool = False) -> tuple[list[str], dict[str, str]]:
    """What to put before a command, and its environment; with `refuse` Python refuses, whatever the kernel could do."""
    environment = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES}
    before = [] if refuse else new_network()
    if before:
        return before, environment | {CUT: "kernel"}
    path = os.pathsep.join(filter(None, [str(GUARD), os.environ.get("PYTHONPATH")]))
    return [], environment | {CUT: "python", "PYTHONPATH": path}


def main(command: list[str]) -> None:
    if command[:1] == ["--up"]:
        switch_on_loopback()
        os.execvp(command[1], command[1:])
    if not command:
        sys.exit("Name the command: python book/_tools/offline.py COMMAND …")
    before, environment = without_network() if CUT not in os.environ else ([], dict(os.environ))
    whole = [*before, *command]
    os.execvpe(whole[0], whole, environment)


if __name__ == "__main__":
    main(sys.argv[1:])
