"""A pytest plugin beside nbval: the CPU seconds and peak memory of each notebook's kernel, with a limit."""

from collections.abc import Iterator

import pytest
from toolbox import usage

MOST_SECONDS = 60
_used: dict[str, tuple[float, float]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Ask the kernel what it has used just before nbval shuts it down, after a notebook's last cell."""
    notebook = item.parent
    last = nextitem is None or nextitem.parent is not notebook
    if not last or notebook.kernel is None or not notebook.kernel.is_alive():
        return (yield)
    seconds, gigabytes = usage(notebook.kernel.km.provisioner.pid)
    item.user_properties.append(("kernel", (notebook.path.stem, seconds, gigabytes)))
    yield
    if seconds > MOST_SECONDS:
        pytest.fail(f"{notebook.path.name} used {seconds:.0f} CPU seconds; {MOST_SECONDS} is the limit: compute less")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the figures, also those that xdist's workers send."""
    for name, value in report.user_properties:
        if name == "kernel":
            slug, seconds, gigabytes = value
            _used[slug] = (seconds, gigabytes)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("what the chapters use")
    for slug, (seconds, gigabytes) in sorted(_used.items()):
        terminalreporter.line(f"{slug:<30} {seconds:6.1f} CPU s {gigabytes:6.2f} GB")
