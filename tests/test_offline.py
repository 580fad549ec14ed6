"""Without a network: the tests, the chapters and the site's build run that way, and the cut is one.

A server on this computer's own outer address is the proof: it answers as long as the network is there.
"""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from threading import Thread

import nbformat.v4 as v4
import offline
import pytest
from runs import execute
from toolbox import ROOT, one_thread

ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as asked:
        print(asked.recv(9).decode())
except OSError as error:
    print("cut:", error)
"""
INNER = "127.0.0.1"
RECIPES = (ROOT / "Makefile").read_text(encoding="utf-8").split("\n\n")


def outer() -> str:
    """An address of this computer that is not 127.0.0.1; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("there is no network here to be cut: this runs within offline.py, or without a network")
        return asked.getsockname()[0]


@contextmanager
def answering(host: str):
    """A server that says hello to whoever connects; its port."""
    with socket.create_server((host, 0)) as server:

        def answer():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"hello")

        Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


def asked(host: str, port: int, before: list[str] = [], environment: dict | None = None) -> str:  # noqa: B006
    command = [*before, sys.executable, "-c", ASK, host, str(port)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def cuts() -> list:
    """Both ways of cutting, where the kernel's is allowed."""
    kernel = pytest.param(False, id="kernel", marks=pytest.mark.skipif(not offline.new_network(), reason="the kernel gives no network of its own here"))
    return [kernel, pytest.param(True, id="python")]


@pytest.mark.parametrize("refuse", cuts())
def test_the_cut_is_one(refuse):
    before, environment = offline.without_network(refuse)
    host = outer()
    with answering(host) as port:
        assert asked(host, port) == "hello\n"
        assert asked(host, port, before, environment).startswith("cut:")


@pytest.mark.parametrize("refuse", cuts())
def test_this_computer_stays_in_reach(refuse):
    """Kernels, the browser's server and pytest's workers need that. In a new network, 127.0.0.1 is another one."""
    before, environment = offline.without_network(refuse)
    serve = f"import socket, subprocess, sys; s = socket.create_server(('{INNER}', 0)); " + (
        "p = subprocess.Popen([sys.executable, '-c', sys.argv[1], *map(str, s.getsockname())]); "
        "s.accept()[0].sendall(b'hello'); s.close(); sys.exit(p.wait())"
    )
    run = subprocess.run([*before, sys.executable, "-c", serve, ASK], env=environment, capture_output=True, text=True, timeout=60)
    assert run.stdout.startswith("hello"), run.stderr


def test_names_are_refused_and_proxies_forgotten(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    _, environment = offline.without_network(refuse=True)
    assert "HTTPS_PROXY" not in environment
    for name in ("example.org", "localhost.example.org"):
        assert asked(name, 80, environment=environment) == f"cut: the network is cut: {name} is not this computer\n"


def test_a_notebook_is_cut_as_well(tmp_path, monkeypatch):
    """In the run of `make test` by whatever cut it has, otherwise by Python's."""
    if offline.CUT not in os.environ:
        monkeypatch.setenv("PYTHONPATH", offline.without_network(refuse=True)[1]["PYTHONPATH"])
    source = "import socket\nsocket.create_connection(('192.0.2.1', 9), timeout=5)"
    error, _ = execute(v4.new_notebook(cells=[v4.new_code_cell(source)]), tmp_path, one_thread(), 60)
    assert error["kind"] in ("OSError", "PermissionError") and ("unreachable" in error["message"] or "is cut" in error["message"])


@pytest.mark.parametrize("target", ["site", "test", "notebooks", "browser"])
def test_what_proves_the_book_runs_without_a_network(target):
    (recipe,) = (part for part in RECIPES if f"\n{target}:" in f"\n{part}")
    ran = [line for line in recipe.splitlines() if line.startswith("\t@$") and "test_offline.py" not in line]
    assert ran and all("$(OFFLINE)" in line for line in ran)
