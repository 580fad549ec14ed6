"""The pages that the build makes from all chapters."""

import re

import pytest

from lib.chapter.book import ROOT

from .conftest import HTML, address


def test_claims_page_lists_every_check(visit, book):
    page = visit("book/claims.html").page
    rows = page.locator("table.claims tbody tr")
    assert rows.count() == sum(len(chapter.checks) for chapter in book)
    assert page.locator("table.claims").count() == len(book)


def test_claims_page_leads_to_equations_and_cells(visit):
    """Every row has a link to the equation, and one to the cell that checks it."""
    rows = visit("book/claims.html").page.locator("table.claims tbody tr")
    links = "rows => rows.map(row => [...row.querySelectorAll('a')].map(link => link.getAttribute('href')))"
    for equation, cell in rows.evaluate_all(links):
        assert re.search(r"#eq-\d+$", equation)
        assert re.search(r"#(cell|fold)-\d+$", cell)


def test_claims_page_totals(visit, book):
    checks = [check for chapter in book for check in chapter.checks]
    last = visit("book/claims.html").page.locator("table.totals tbody tr").last.locator("td").all_text_contents()
    controls = sum(len(check.controls) for check in checks)
    assert [text.strip() for text in last] == ["all", str(len(checks)), str(controls), str(len(book))]


def test_digests_page_lists_all_47(visit, book):
    page = visit("book/digests.html").page
    titles = page.locator(".digest-title").all_inner_texts()
    later = "".join(page.locator(".digests .unwritten").all_inner_texts())
    numbers = [title[:2] for title in titles] + re.findall(r"\b(\d\d) ", later)
    assert sorted(numbers) == [f"{number:02d}" for number in range(47)]
    assert len(titles) == len(book)
    assert page.locator(".digests [lang=zh]").count() == 47


def test_corrections_and_exercises_stand_where_the_lists_say(visit, book):
    """The page has every correction, and each chapter's cards have the addresses, in their order."""
    page = visit("book/corrections.html").page
    assert page.locator(".corrections > ul > li").count() == sum(len(chapter.corrections) for chapter in book)
    for chapter in book:
        html = (HTML / address(chapter)).read_text(encoding="utf-8")
        cards = re.findall(r'id="(correction-\d+)">\s*<p class="admonition-title">Correction</p>', html)
        assert cards == [correction.anchor for correction in chapter.corrections]
        assert [name for e in chapter.exercises if f'id="{(name := e.anchor)}"' not in html] == []


def test_exercises_page_lists_all_with_their_minutes(visit, book):
    page = visit("book/exercises.html").page
    exercises = [exercise for chapter in book for exercise in chapter.exercises]
    assert page.locator("table.exercises tbody tr").count() == len(exercises)
    minutes = page.locator("table.exercises tbody td:last-child").all_text_contents()
    assert sum(map(int, minutes)) == sum(exercise.minutes for exercise in exercises)
    assert page.locator("table.totals tbody tr").last.locator("td").nth(1).inner_text() == str(len(exercises))


@pytest.mark.parametrize(
    "name, targets", [("glossary", ".letters a"), ("attention/rope", ".equation-number a, a.tick")]
)
def test_small_links_are_large_enough_to_tap(visit, name, targets):
    sizes = visit(f"book/{name}.html", 390).page.locator(targets).evaluate_all(
        "all => all.map(e => e.getBoundingClientRect()).map(e => Math.min(e.width, e.height))"
    )
    assert sizes and min(sizes) >= 24


def test_pages_of_lib_show_every_module(visit):
    for package in ("course", "foundations", "learning", "sequence", "generative", "systems"):
        page = visit(f"book/api/{package}.html").page
        modules = sorted(path.stem for path in (ROOT / "lib" / package).glob("[!_]*.py"))
        assert page.locator(".api > h2").evaluate_all("all => all.map(e => e.parentElement.id)") == [
            f"lib.{package}.{module}" for module in modules
        ]
        assert page.evaluate("document.querySelectorAll('*').length") < 15_000


def test_chapters_lead_to_the_pages_of_lib(visit, book):
    """A link to a file of lib opens its place among the pages, not a download."""
    chapter = next(chapter for chapter in book if chapter.slug == "ensemble-learning")
    links = visit(chapter).page.locator('a[href*="api/"]').evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert "../api/learning.html#lib.learning.ensembles" in links
    assert [page.slug for page in book if "_downloads" in (HTML / address(page)).read_text(encoding="utf-8")] == []


def test_numbers_of_a_result_stay_whole(visit):
    """Every cell of a number is one line high at the width of a small desktop."""
    page = visit("book/benchmarks.html").page
    page.locator("details.listing > summary").evaluate_all("all => all.forEach(summary => (summary.parentElement.open = true))")
    broken = r"""cells => cells.filter(cell => /^[\d.,−-]+$/.test(cell.textContent.trim())).filter(cell => {
        const text = document.createRange();
        text.selectNodeContents(cell.querySelector("p") ?? cell);
        return new Set([...text.getClientRects()].map(line => Math.round(line.top))).size > 1;
    }).map(cell => cell.textContent)"""
    assert page.locator("table.results td").evaluate_all(broken) == []


def test_page_for_unknown_addresses_leads_back(browser, origin, book):
    page = browser.new_page()
    page.goto(f"{origin}/404.html")
    assert page.locator("main li a").count() == len(book)
    page.locator("input").fill("rotary")
    page.locator("button").click()
    page.wait_for_url("**/search.html?q=rotary")
    page.close()
