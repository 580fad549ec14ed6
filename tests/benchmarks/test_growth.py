"""The exponents of growth: how they are fitted, that the recorded ones are explained, and how the page shows them."""

import io
import json
import math
from statistics import linear_regression

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from lib.chapter.book import ROOT, chapters

RECORDED = json.loads((ROOT / "benchmarks" / "results" / "growth.json").read_text(encoding="utf-8"))
ROWS = [dict(zip(RECORDED["head"], row, strict=True)) for row in RECORDED["rows"]]
PAIRS = ("time exponent", "theory, time"), ("memory exponent", "theory, memory")


@pytest.mark.parametrize("row", ROWS, ids=[row["method"] for row in ROWS])
def test_a_recorded_exponent_is_the_theorys_or_says_why_not(row):
    assert row["chapter"] in {chapter.slug for chapter in chapters()}
    assert row["to"] >= 16 * row["from"]
    apart = max(abs(row[measured] - row[theory]) for measured, theory in PAIRS)
    assert apart <= 0.15 or row["why"].endswith("."), f"{row['method']}: {apart:.2f} from its theory, without a reason"


@pytest.mark.parametrize("row", ROWS, ids=[row["method"] for row in ROWS])
def test_a_recorded_exponent_is_that_of_the_recorded_sizes(row):
    [table] = RECORDED["results"].values()
    points = [point[1:] for point in table["rows"] if point[0] == row["method"]]
    assert [points[0][0], points[-1][0]] == [row["from"], row["to"]]
    sizes, *columns = (list(map(math.log, column)) for column in zip(*points, strict=True))
    for values, (measured, _) in zip(columns, PAIRS, strict=True):
        assert linear_regression(sizes, values).slope == pytest.approx(row[measured], abs=0.01)


def test_terms_of_lower_order_are_in_the_theory(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "growth")
    from case import doubled, exponent

    sizes = doubled(4, 64)
    assert sizes == (4, 8, 16, 32, 64)
    assert exponent(sizes, [3 * n**2 for n in sizes]) == pytest.approx(2)
    assert 1 < exponent(sizes, [n**2 + 10 * n for n in sizes]) < 2


def test_the_page_shows_exponents_reasons_and_every_size(tmp_path):
    row = {"method": "turns", "chapter": "rope", "grows": "tokens", "from": 512, "to": 8192, "operations": "n²", "time exponent": 1.5}
    row |= {"theory, time": 2.0, "memory exponent": -0.001, "theory, memory": 0.0, "why": "It is made up."}
    made = {"head": list(row), "rows": [list(row.values())], "what": "once", "machine": "m", "date": "2026-01-01", "commit": "abc"}
    made |= {"versions": {"python": "3"}, "results": {"every size": {"head": ["n", "ms"], "rows": [[1, 2.0], [2, 4.5]]}}}
    folder = tmp_path / "benchmarks" / "results"
    folder.mkdir(parents=True)
    (folder / "growth.json").write_text(json.dumps(made), encoding="utf-8")
    (tmp_path / "_toc.yml").write_text("{root: index}", encoding="utf-8")
    (tmp_path / "index.md").write_text("# Page\n\n```{growth}\n```\n", encoding="utf-8")
    options, out = {"extensions": ["myst_nb", "course_site"], "nb_execution_mode": "off"}, tmp_path / "_build"
    with docutils_namespace():
        Sphinx(tmp_path, None, out, out / ".doctrees", "html", options, status=None, warning=io.StringIO()).build(force_all=True)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert 'href="book/attention/rope.html">turns</a>' in page and "tokens, 512 to 8,192" in page and "1.50" in page and "-0.00" not in page
    assert "turns: It is made up." in page and "once · m · 2026-01-01 · commit abc" in page
    assert 'id="growth-1"' in page and "every size" in page and "2 rows" in page and "4.5" in page
