"""Figures that a chapter shows as measured on a GPU are those of the recorded result, and the code it quotes is the kernel's."""

import json
import re
from textwrap import dedent

import pytest

from lib.chapter.book import ROOT, chapters

RESULTS = ROOT / "benchmarks" / "results" / "gpu"
HEADINGS = "## Deeper: timed on ", "## Deeper: the same, larger, on a GPU"
LINK = re.compile(r"\]\(\.\./benchmarks\.md#([\w-]+)\)")
SHOWN = re.compile(r"^### (.+?)\n(?:(?!^#).*\n)*?```\{gpu-result\} (\w+)", re.M)
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*\.?\d*(?:e-?\d+)?")


def sections() -> dict[str, str]:
    return {
        chapter.slug: chapter.source(i)
        for chapter in chapters()
        for i in chapter.indices("markdown")
        if chapter.source(i).startswith(HEADINGS)
    }


def shown() -> dict[str, str]:
    """The results that the page of benchmarks shows, by the addresses of their headings."""
    page = (ROOT / "book" / "benchmarks.md").read_text(encoding="utf-8")
    return {heading.lower().replace(" ", "-"): name for heading, name in SHOWN.findall(page)}


def test_the_page_shows_every_result():
    assert sorted(shown().values()) == sorted(path.stem for path in RESULTS.glob("*.json"))


def recorded(name: str) -> set[float]:
    """Every number of a result, also as a share in percent and in the units of its settings."""
    result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    cells = [cell for table in result["results"].values() for row in table["rows"] for cell in row]
    found = {float(cell) for cell in cells if isinstance(cell, int | float) and not isinstance(cell, bool)}
    found |= {float(cell) for cell in cells if isinstance(cell, str) and cell.replace(".", "").isdigit()}
    return found | {100 * number for number in found}


def shown_as(number: float, text: str) -> bool:
    """Whether a number, rounded to the digits of a text, is that text."""
    plain = text.replace(",", "")
    if "e" in plain:
        return float(f"{number:.{len(plain.split('e')[0].replace('.', '')) - 1}e}") == float(plain)
    decimals = len(plain.partition(".")[2])
    return abs(number - float(plain)) <= 0.5000001 * 10**-decimals


def figures(section: str) -> list[str]:
    """The numbers of a section's tables, without the first column, which names the row."""
    rows = [line for line in section.splitlines() if line.startswith("| ") and "|---" not in line]
    return [text for row in rows[1:] for cell in row.strip("| ").split(" | ")[1:] for text in NUMBER.findall(cell)]


@pytest.mark.parametrize("slug", sections())
def test_each_figure_of_a_table_is_in_the_recorded_result(slug):
    section = sections()[slug]
    names = [shown()[address] for address in LINK.findall(section)]
    assert names, f"{slug}: expected a link to a result on ../benchmarks.md beside the table"
    numbers = set().union(*map(recorded, names))
    missing = [text for text in figures(section) if not any(shown_as(number, text) for number in numbers)]
    assert figures(section) and not missing, f"{slug} shows {missing}, which {names} do not hold"


def test_a_figure_that_was_not_measured_is_noticed():
    numbers = recorded("matmul")
    assert not any(shown_as(number, "1234.5") for number in numbers)
    assert shown_as(0.00237, "0.0024") and not shown_as(0.00244, "0.0025")


def test_the_loop_that_flash_attention_quotes_is_the_kernels():
    quoted = re.search(r"```python\n(.+?)```", sections()["flash-attention"], re.S)[1]
    kernel = (ROOT / "benchmarks" / "gpu" / "triton_attention.py").read_text(encoding="utf-8")
    start = kernel.index("    for column in tl.range(begin, end, COLUMNS):")
    assert quoted == dedent(kernel[start:].split("    return")[0])
