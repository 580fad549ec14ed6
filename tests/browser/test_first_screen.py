"""Where things stand when a chapter opens, and what its end leads to."""

import re
from html import unescape

import pytest

from lib.chapter.book import pages
from lib.chapter.reading import core_and_deeper

# By a window's width, where the first heading begins or ends at the latest.
LOWEST = {1280: ("top", 600), 390: ("bottom", 844)}
ADD_COLAB = """() => document.querySelector('.header-card .buttons')
  .insertAdjacentHTML('afterbegin', '<a href="">Open in Colab</a>')"""
HEADING = "() => document.querySelector('.bd-article h2').getBoundingClientRect().toJSON()"


@pytest.mark.parametrize("width", LOWEST)
def test_the_first_heading_is_on_the_first_screen(visit, chapter, width):
    """Also with the button that a published book has."""
    page = visit(chapter, width).page
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(ADD_COLAB)
    heading = page.evaluate(HEADING)
    page.evaluate("document.querySelector('.header-card .buttons a').remove()")
    edge, lowest = LOWEST[width]
    assert heading[edge] <= lowest


def test_the_card_asks_and_promises(visit, chapter):
    page = visit(chapter).page
    card = page.locator(".header-card")
    assert card.count() == 1
    shown = card.inner_text()
    assert f"{core_and_deeper(chapter)[0].minutes:.0f} minutes to read" in shown
    assert card.locator(".question").inner_text().endswith("?")
    assert card.locator(".outcomes li").count() == len(chapter.header.outcomes.split(";"))
    assert "**" not in shown and "Time:" not in shown and "Source note." not in shown
    picture = card.locator(".first-picture")
    assert picture.get_attribute("alt") == "" and picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert picture.get_attribute("src") == page.locator("figure img").first.get_attribute("src")


def test_the_fold_says_where_a_chapter_comes_from_and_how_to_cite_it(visit, chapter):
    card = visit(chapter).page.locator(".header-card")
    card.locator("summary").click()
    shown = card.inner_text()
    card.locator("summary").click()
    for name in ("Source note.", "Sources", "Also called", "How to run it", "Cite this chapter", "Report an error"):
        assert name in shown
    assert "@misc{" + chapter.slug in shown and f"{chapter.header.title}. In: " in shown
    assert f"\n{chapter.digest}\n" in shown and "colab" in shown.lower()


def test_the_citation_can_be_copied(browser, origin, book):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{origin}/book/{book[0].part}/{book[0].slug}.html", wait_until="networkidle")
    page.locator(".about summary").click()
    page.locator(".about .highlight").hover()
    page.locator(".about button.copybtn").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith(f"@misc{{{book[0].slug}-")
    context.close()


def test_a_chapter_leads_to_the_pages_before_and_after_it(visit, chapter):
    """Also across parts; with titles."""
    order = pages()
    at = order.index(f"book/{chapter.part}/{chapter.slug}")
    page = visit(chapter).page
    for place, name in ((at - 1, "a.left-prev"), (at + 1, "a.right-next")):
        link = page.locator(name)
        assert link.evaluate("link => link.pathname") == f"/{order[place]}.html"
        neighbour = page.request.get(link.evaluate("link => link.href")).text()
        title = re.search(r'<h1>(.*?)<a class="headerlink"', neighbour)[1]
        assert unescape(title) == link.locator(".prev-next-title").inner_text()


def test_a_chapter_leads_to_those_that_need_it(visit, book):
    paths = "all => all.map(link => link.pathname)"
    needing = {chapter.slug: visit(chapter).page.locator(".needed-for a").evaluate_all(paths) for chapter in book}
    assert sum(map(len, needing.values())) == sum(
        f"]({other}.ipynb" in chapter.header.needs or f"/{other}.ipynb" in chapter.header.needs
        for chapter in book for other in needing
    )  # fmt: skip
    assert "/book/attention/length-extrapolation.html" in needing["rope"]


def test_the_card_reads_completely_without_scripts_and_on_paper(browser, origin, book):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{origin}/book/{book[0].part}/{book[0].slug}.html")
    page.locator(".about summary").click()
    assert page.locator(".source-note").is_visible()
    page.locator(".about summary").click()
    page.emulate_media(media="print")
    assert page.locator(".source-note").evaluate("note => note.getBoundingClientRect().height") > 0
    context.close()
