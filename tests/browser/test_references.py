"""References to equations and the preview of an equation; the page of every claim, folded and filtered."""

import re

import pytest

from lib.chapter.book import syllabus

from .conftest import address

REFERENCE = "a.equation-reference"
PREVIEW = ".equation-preview"
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 800}


@pytest.fixture
def open_page(browser, origin):
    """Opens a page in a context of its own."""
    contexts = []

    def open_page(path: str, **options):
        context = browser.new_context(**{"viewport": WIDE} | options)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{origin}/{path}", wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def with_references(book):
    """The address of a chapter with references."""
    return address(book[0])


def visible_reference(page):
    return page.locator(f"{REFERENCE}:visible").first


def test_every_chapter_has_references_to_equations_that_are_there(visit, chapter):
    page = visit(chapter).page
    missing = page.locator(REFERENCE).evaluate_all(
        "all => all.filter(a => !document.getElementById(a.hash.slice(1))?.closest('.equation')"
        " || a.textContent !== `(${a.hash.slice(4)})`).map(a => a.outerHTML)"
    )
    assert page.locator(REFERENCE).count() > 0
    assert missing == []


def test_the_mouse_shows_the_equation_and_leaving_hides_it(open_page, with_references):
    page = open_page(with_references)
    reference = visible_reference(page)
    reference.hover()
    box = page.locator(PREVIEW)
    box.wait_for(state="visible")
    name = reference.text_content()
    assert box.get_attribute("aria-label") == f"Equation {name}"
    assert box.locator("div.math").count() == 1 and box.locator(".tick, [id]").count() == 0
    box.hover()
    page.wait_for_timeout(400)
    assert box.is_visible(), "the mouse may go into the box"
    page.mouse.move(2, 2)
    page.wait_for_timeout(400)
    assert box.count() == 0


def test_the_keyboard_shows_the_equation_and_escape_hides_it(open_page, with_references):
    page = open_page(with_references)
    reference = visible_reference(page)
    reference.scroll_into_view_if_needed()
    page.keyboard.press("Shift")  # the browser shows focus once a key was used
    reference.focus()
    assert page.locator(PREVIEW).is_visible()
    assert reference.get_attribute("aria-describedby") == page.locator(PREVIEW).get_attribute("id")
    page.keyboard.press("Escape")
    assert page.locator(PREVIEW).count() == 0
    assert reference.evaluate("a => a === document.activeElement && !a.hasAttribute('aria-describedby')")
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    assert page.url.endswith(reference.get_attribute("href"))


def test_a_preview_that_scrolls_takes_the_focus(open_page, with_references):
    """Tab goes into the box of a formula that is wider than the window, and Escape from there back to the text."""
    page = open_page(with_references, viewport=PHONE)
    page.keyboard.press("Shift")
    wide = page.locator(f"{PREVIEW}[tabindex='0']")
    for reference in page.locator(f"{REFERENCE}:visible").all():
        reference.focus()
        if wide.count():
            break
    assert wide.count() == 1, "no formula of this chapter is wider than a phone"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "equation-preview"
    page.keyboard.press("Escape")
    assert reference.evaluate("a => a === document.activeElement")
    assert page.locator(PREVIEW).count() == 0


def test_a_tap_shows_the_equation_and_a_second_one_goes_there(open_page, with_references):
    page = open_page(with_references, viewport=PHONE, has_touch=True, is_mobile=True)
    reference = visible_reference(page)
    reference.tap()
    box = page.locator(PREVIEW)
    assert box.is_visible() and "#eq" not in page.url
    edges = box.bounding_box()
    assert edges["x"] >= 0 and edges["x"] + edges["width"] <= PHONE["width"]
    page.locator("h1").first.dispatch_event("pointerdown")
    assert box.count() == 0, "a tap elsewhere closes it"
    for _ in range(2):
        reference.tap()
    page.wait_for_timeout(200)
    assert page.url.endswith(reference.get_attribute("href"))
    assert box.count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_previews_lie_within_the_window(open_page, with_references, width):
    page = open_page(with_references, viewport={"width": width, "height": 900})
    page.keyboard.press("Shift")
    for reference in page.locator(f"{REFERENCE}:visible").all()[:15]:
        reference.scroll_into_view_if_needed()
        reference.focus()
        box, line = page.locator(PREVIEW).bounding_box(), reference.bounding_box()
        assert box["x"] >= 8 and box["x"] + box["width"] <= width - 8
        assert box["y"] >= line["y"] + line["height"] or box["y"] + box["height"] <= line["y"] + 1
        page.keyboard.press("Escape")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_without_scripts_a_reference_is_a_link(open_page, with_references):
    page = open_page(with_references, java_script_enabled=False)
    reference = visible_reference(page)
    reference.click()
    assert page.url.endswith(reference.get_attribute("href"))
    assert page.locator(PREVIEW).count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_every_claim_is_short_when_folded(visit, book, width):
    """On a wide screen also with the chapters and parts that are planned and not yet written."""
    page = visit("book/claims.html", width).page
    assert page.locator("details.claims[open]").count() == 0
    fold = page.locator("details.claims").first.bounding_box()["height"]
    part = page.locator(".claims-of-part").first.bounding_box()["height"] - fold * page.locator(
        ".claims-of-part:first-of-type details.claims"
    ).count()
    written = len({chapter.part for chapter in book})
    planned = syllabus()
    more = sum(len(part["chapters"]) for part in planned) - len(book)
    height = page.evaluate("document.documentElement.scrollHeight")
    to_come = more * fold + (len(planned) - written) * part
    assert height + (to_come if width == 1280 else 0) < 3000


def test_claims_are_filtered_by_kind_and_part(open_page, book):
    page = open_page("book/claims.html")
    part = book[-1].part
    page.select_option("select[name=kind]", "measured")
    page.select_option("select[name=part]", f"claims-of-{part}")
    wanted = [
        check for chapter in book if chapter.part == part for check in chapter.checks if check.kind == "measured"
    ]
    page.get_by_role("button", name="Open all chapters").click()
    last = [check.kind for check in book[-1].checks]
    counts = page.locator(f"#claims-{book[-1].slug} .counts")
    assert counts.inner_text() == f"{last.count('measured')} of {len(last)} checks"
    assert page.locator("table.claims tbody tr:visible").count() == len(wanted) > 0
    assert page.locator(".claim-filters output").text_content().startswith(f"{len(wanted)} check")
    assert page.locator(".claims-of-part:visible").count() == 1
    page.select_option("select[name=kind]", "")
    page.select_option("select[name=part]", "")
    assert counts.inner_text() == f"{len(book[-1].claim_numbers)} claims, {len(last)} checks"
    page.get_by_role("button", name="Open all chapters").click()
    assert page.locator("table.claims tbody tr:visible").count() == sum(len(chapter.checks) for chapter in book)
    page.get_by_role("button", name="Close all chapters").click()
    assert page.locator("details.claims[open]").count() == 0


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_link_to_a_claim_opens_its_fold(open_page, book, scripts):
    chapter = book[-1]
    number = max(chapter.claim_numbers)
    page = open_page(f"book/claims.html#claim-{chapter.slug}-{number}", java_script_enabled=scripts)
    page.wait_for_timeout(300)
    row = page.locator(f"#claim-{chapter.slug}-{number}")
    assert row.is_visible() and f"({number})" in row.inner_text()
    assert 0 <= row.bounding_box()["y"] < 900


def test_a_link_to_a_claim_undoes_a_filter_that_hides_it(open_page, book):
    page = open_page("book/claims.html")
    page.select_option("select[name=part]", f"claims-of-{book[0].part}")
    chapter = book[-1]
    number = min(chapter.claim_numbers)
    page.evaluate(f"location.hash = 'claim-{chapter.slug}-{number}'")
    page.wait_for_timeout(300)
    assert page.locator(f"#claim-{chapter.slug}-{number}").is_visible()


def test_from_a_claim_to_its_equation_and_back(open_page, book):
    page = open_page("book/claims.html")
    fold = page.locator("details.claims").first
    fold.locator("summary").click()
    fold.locator("tbody a").first.click()
    page.wait_for_url(re.compile(r"#eq-1$"))
    assert page.locator("#eq-1").is_visible()
    page.go_back()
    page.wait_for_url(re.compile(r"claims\.html"))


def test_without_scripts_every_claim_is_shown(open_page, book):
    page = open_page("book/claims.html", java_script_enabled=False)
    assert not page.locator(".claim-filters").is_visible()
    rows = page.locator("table.claims tbody tr")
    shown = rows.evaluate_all("all => all.filter(row => row.checkVisibility({contentVisibilityAuto: true})).length")
    assert shown == sum(len(chapter.checks) for chapter in book)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_column_of_claims_is_lost(open_page, width):
    page = open_page("book/claims.html", viewport={"width": width, "height": 900})
    page.locator("details.claims").evaluate_all("all => all.forEach(fold => fold.open = true)")
    lost = page.locator("table.claims tbody td").evaluate_all(
        """all => all.filter(cell => {
             const edges = cell.getBoundingClientRect(), clip = cell.closest(".pst-scrollable-table-container") ?? cell;
             const frame = clip.getBoundingClientRect();
             return edges.width < 30 || edges.left < frame.left - 1 || edges.right > frame.right + 1
               || edges.right > innerWidth || cell.scrollWidth > cell.clientWidth + 1;
           }).length"""
    )
    assert lost == 0
