"""The pages that the build makes from all chapters."""

import re


def test_claims_page_lists_every_check(visit, book):
    page = visit("book/claims.html").page
    rows = page.locator("table.claims tbody tr")
    assert rows.count() == sum(len(chapter.checks) for chapter in book)
    assert page.locator("table.claims").count() == len(book)


def test_claims_page_leads_to_equations_and_cells(visit):
    """Every row has a link to the equation, and one to the cell that checks it."""
    page = visit("book/claims.html").page
    for row in page.locator("table.claims tbody tr").all():
        equation, cell = [link.get_attribute("href") for link in row.locator("a").all()]
        assert re.search(r"#eq-\d+$", equation)
        assert re.search(r"#(cell|fold)-\d+$", cell)


def test_claims_page_totals(visit, book):
    checks = [check for chapter in book for check in chapter.checks]
    last = visit("book/claims.html").page.locator("table.totals tbody tr").last.locator("td").all_inner_texts()
    controls = sum(len(check.controls) for check in checks)
    assert last == ["all", str(len(checks)), str(controls), str(len(book))]


def test_digests_page_lists_all_47(visit, book):
    page = visit("book/digests.html").page
    numbers = page.locator("table.digests tbody tr td:first-child").all_inner_texts()
    assert sorted(numbers) == [f"{number:02d}" for number in range(47)]
    assert page.locator("table.digests a").count() == len(book)
    assert page.locator("table.digests .unwritten").count() == 47 - len(book)
