"""A learner searches, in English and in Chinese."""

import re
from collections import Counter
from urllib.parse import quote

import pytest
import yaml

from lib.chapter.book import ROOT

from .conftest import HTML

QUERIES = yaml.safe_load((ROOT / "tests" / "searches.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def search(browser):
    """Searches the site as it lies on the disk, without a server; returns the addresses that are found, best first."""
    page = browser.new_page()
    page.goto((HTML / "search.html").as_uri())

    def search(query: str) -> list[str]:
        page.evaluate("query => Search.performSearch(query)", query)
        return page.locator("#search-results a").evaluate_all("all => all.map(a => a.getAttribute('href'))")

    yield search
    page.close()


def is_right(found: str, wanted: list[str]) -> bool:
    """Whether an address is one of those wanted; a wanted page without a section is right with any of its sections."""
    page, _, section = found.partition("#")
    name = page.removeprefix("book/").removesuffix(".html")
    return name in wanted or f"{name}#{section}" in wanted


def test_first_result_is_right(search):
    first = {query: next(iter(search(query)), "nothing") for query in QUERIES}
    wrong = {query: found for query, found in first.items() if not is_right(found, QUERIES[query])}
    assert len(QUERIES) >= 20
    assert 20 * len(wrong) <= 2 * len(QUERIES), wrong  # 18 of 20


def test_spelling_does_not_matter(search):
    assert search("regularisation") == search("regularization") != []
    assert search("reparametrise") == search("reparameterize") != []


def test_lists_do_not_crowd_out_chapters(search):
    for query in ("attention", "claim", "digest", "softmax"):
        pages = Counter(address.partition("#")[0] for address in search(query))
        assert not {"book/claims.html", "book/digests.html"} & set(pages)
        assert max(pages.values(), default=0) <= 3


def test_commands_and_imports_are_not_in_the_index(search):
    assert search("mathbb") == search("mathcal") == []
    text = (HTML / "searchindex.js").read_text(encoding="utf-8")
    assert not re.search(r"\\\\(frac|mathbb|text|tag|bigl)\b|\bimport torch\b|from lib\.", text)


def test_hit_opens_at_its_section_from_a_chapter(browser, origin):
    """The whole way: a chapter's search field, a result with its words marked, its section on the screen."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(f"{origin}/book/attention/rope.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("inspection paradox")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    hit = page.locator("#search-results li").first
    assert "inspect" in " ".join(hit.locator("mark").all_inner_texts())
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    hit.locator("a").click()
    page.wait_for_url("**/poisson-exponential.html#the-inspection-paradox")
    page.locator("#the-inspection-paradox h2").wait_for()
    page.close()


def test_nothing_found_is_said(browser, origin):
    page = browser.new_page()
    page.goto(f"{origin}/search.html?q={quote('<xyzzy>')}")
    said = page.locator("#search-results [role=status]").inner_text()
    assert said == "Nothing found for “<xyzzy>”. Try fewer words."
    page.close()
