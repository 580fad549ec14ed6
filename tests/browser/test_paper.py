"""Paper: what print shows, also from dark mode, and the book as a PDF."""

import re

import pdf
import pytest
from bs4 import BeautifulSoup

from .conftest import HTML, address
from .test_pages import CONTRAST

WIDTH = 672  # pixels between the margins of a page of A4
SELECTORS = ["p", "a.reference", "h1", "h2", "pre", ".highlight .k", ".highlight .s2", ".admonition-title", "summary"]


@pytest.fixture(scope="module")
def paper(browser, origin, book):
    """A chapter in dark mode as it is printed."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="dark")
    page.goto(f"{origin}/{address(book[0])}", wait_until="networkidle")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    yield page
    page.close()


def test_dark_mode_prints_dark_on_white(paper):
    assert paper.locator("html").get_attribute("data-theme") == "dark"
    assert paper.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    contrast = paper.evaluate(CONTRAST, SELECTORS)
    assert {what: value for what, value in contrast.items() if value < 4.5} == {}
    assert paper.locator(".cell_output img").first.evaluate("e => getComputedStyle(e).filter") == "none"


def test_nothing_is_cut(paper):
    cut = """edge => [...document.querySelectorAll(".bd-article :is(pre, table, img, p, li)")]
      .filter(e => e.checkVisibility())
      .filter(e => e.getBoundingClientRect().right > edge + 1 || e.scrollWidth > e.clientWidth + 1)
      .map(e => `${e.localName} ${e.textContent.slice(0, 60)}`)"""
    assert paper.evaluate(cut, WIDTH) == []


def test_the_text_stands_alone(paper):
    furniture = "[class*='bd-sidebar'], .prev-next-footer, button, .buttons, .headerlink, #jb-print-docs-body"
    assert paper.locator(furniture).locator("visible=true").count() == 0
    assert paper.locator("h1:visible").count() == 1


def test_what_belongs_together_stays_together(paper):
    inside = "e => getComputedStyle(e).breakInside"
    assert {paper.locator(which).first.evaluate(inside) for which in ("figure", ".equation", "tr")} == {"avoid"}
    after = "e => getComputedStyle(e).breakAfter"
    assert {paper.locator(which).first.evaluate(after) for which in ("h2", "summary")} == {"avoid"}


def test_two_chapters_become_a_pdf_whose_links_land(browser, book, tmp_path):
    chapters = [address(chapter).removesuffix(".html") for chapter in book[:2]]
    source, target = tmp_path / "pdf" / "index.html", tmp_path / "book.pdf"
    pdf.combine([("Two chapters", chapters)], HTML, source, "Two chapters", "Their authors")
    for element in BeautifulSoup(source.read_text(encoding="utf-8"), "html.parser").select("link, img"):
        assert (source.parent / (element.get("href") or element["src"])).exists()
    pdf.print_page(browser, source, target)
    written = target.read_bytes()
    goals = set(re.findall(rb"/Dest /([^\s/>]+)", written))
    table = re.search(rb"\n%b 0 obj\n(.*?)endobj" % re.search(rb"/Dests (\d+) 0 R", written)[1], written, re.S)[1]
    assert len(goals) > 40 and goals <= set(re.findall(rb"/([^\s/>]+) \[", table))
    assert {pdf.anchor(chapter).encode() for chapter in chapters} <= goals
    assert written.count(b"/Type /Page\n") > 20
    assert b"/Title (Contents)" in written  # in the outline, and once
    assert b"file:" not in written
