"""What a run of the tests says of the book at its end."""

import os

import contract
import pytest
from toolbox import Chapter, chapter_paths, unfinished

os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton, whose kernels then run without a GPU


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of each chapter and the displays without a number, when the book itself was tested."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    if not any(getattr(report, "nodeid", "").startswith("tests/test_book.py") for report in reports):
        return
    terminalreporter.section("the chapters")
    for path in chapter_paths():
        terminalreporter.line(contract.figures(Chapter(path)))
    for path in unfinished():
        terminalreporter.line(f"{path.parent.name}/{path.stem}: unfinished, not in _toc.yml")
