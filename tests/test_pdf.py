"""The whole book as one page: addresses that no two pages share, links between pages, folds, the order of pages."""

import re

import pdf
import pytest
from bs4 import BeautifulSoup

from lib.chapter.book import pages

PAGES = ["book/start/index", "book/part/one", "book/part/two"]
HEAD = """<link rel="stylesheet" href="../../_static/a.css?v=1">
<link rel="stylesheet" href="../../_static/b.css" media="print">
<script src="../../_static/course.js"></script><script src="../../_static/mathjax/tex.js"></script>"""
TEXT = """<h1 id="title">One<a class="headerlink" href="#title">#</a></h1>
<a id="a1" href="#eq-1" aria-describedby="title eq-1">(1)</a> <a id="a2" href="two.html#eq-1">(1) of Two</a>
<a id="a3" href="../start/index.html">home</a> <a id="a4" href="https://example.org/#eq-1">paper</a>
<a id="a5" href="../../_downloads/one.ipynb">notebook</a>
<div id="eq-1"><svg><defs><path id="g"></path></defs><use xlink:href="#g"></use><g fill="url(#g)"></g></svg></div>
<img src="../../_images/x.png" loading="lazy">
<details class="fold"><summary>Figure</summary><div id="fold-1"></div></details>
<details class="fold check"><summary>Check</summary><div id="fold-2"></div></details>
<details><summary>Answer</summary>42</details><script>1</script>"""


@pytest.fixture
def site(tmp_path):
    """A built site of three pages, its combined page, and what that holds."""
    for page in PAGES:
        path = tmp_path / "html" / f"{page}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'<html><head>{HEAD}</head><body><article class="bd-article">{TEXT}</article></body></html>')
    return tmp_path / "html"


def combined(site, parts):
    target = site.parent / "pdf" / "index.html"
    pdf.combine(parts, site, target, "A <book>", "Its authors")
    return BeautifulSoup(target.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture
def book(site):
    return combined(site, [("", PAGES[:1]), ("A part", PAGES[1:])])


def test_no_two_elements_share_an_address_and_every_link_lands(book):
    addresses = [element["id"] for element in book.select("[id]")]
    assert len(addresses) == len(set(addresses))
    links = {link[name][1:] for link in book.select("a, use") for name in link.attrs if str(link[name])[:1] == "#"}
    assert links and links <= set(addresses)
    described = " ".join(link["aria-describedby"] for link in book.select("[aria-describedby]"))
    assert set(described.split()) <= set(addresses)
    assert set(re.findall(r"url\(#([^)]*)\)", str(book))) <= set(addresses)


def test_links(book):
    goals = [book.select_one(f"#page--book-part-one--a{number}").get("href") for number in range(1, 5)]
    assert goals == [
        "#page--book-part-one--eq-1",
        "#page--book-part-two--eq-1",
        "#page--book-start-index",
        "https://example.org/#eq-1",
    ]
    assert book.select_one("#page--book-part-one--a5") is None
    assert "notebook" in book.select_one("#page--book-part-one").text


def test_pictures_and_styles_come_from_the_site(book):
    assert {(image["src"], image["loading"]) for image in book.select("img")} == {("../html/_images/x.png", "eager")}
    sheets = [(sheet["href"], sheet.get("media")) for sheet in book.select("link")]
    assert sheets == [("../html/_static/a.css", None), ("../html/_static/b.css", None)]
    assert [script["src"] for script in book.select("script")] == ["../html/_static/mathjax/tex.js"]


def test_checks_and_answers_stay_closed_and_links_lead_to_their_titles(book):
    page = book.select_one("#page--book-part-one")
    assert [fold.has_attr("open") for fold in page.select("details")] == [True, False, False]
    assert page.select_one("#page--book-part-one--fold-1").parent.name == "details"
    assert page.select_one("#page--book-part-one--fold-2").parent.name == "summary"


def test_title_contents_and_order(book):
    assert book.select_one(".book-title h1").text == "A <book>"
    assert [link["href"] for link in book.select(".book-contents a")] == [f"#{pdf.anchor(page)}" for page in PAGES]
    assert [link.text for link in book.select(".book-contents a")] == ["One"] * 3
    assert "A part" in book.select_one(".book-contents").text
    assert [page["id"] for page in book.select("article.page")] == [pdf.anchor(page) for page in PAGES]


def test_parts_are_those_of_the_table_of_contents():
    parts = pdf.parts_of_the_book()
    assert parts[0] == ("", ["book/index"])
    assert [page for _, listed in parts for page in listed] == pages()


def test_a_site_that_is_not_built_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(pdf, "SITE", tmp_path)
    with pytest.raises(SystemExit, match="The site has no page book/index.html yet: build it with make site."):
        pdf.main()


def test_a_missing_chromium_is_named(monkeypatch, site):
    monkeypatch.setattr(pdf, "SITE", site)
    monkeypatch.setattr(pdf, "parts_of_the_book", lambda: [("", PAGES)])
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="Chromium is missing"):
        pdf.main()
