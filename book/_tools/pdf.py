"""Print the built site as one PDF, in the order of the table of contents: _build/book.pdf, by way of _build/pdf/."""

import os
import re
import shutil
import sys
import time
from html import escape
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser, sync_playwright
from toolbox import ROOT

from lib.chapter.book import read_yaml

SITE, COMBINED, OUTPUT = ROOT / "_build" / "html", ROOT / "_build" / "pdf" / "index.html", ROOT / "_build" / "book.pdf"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
LEFT_OUT = ".headerlink, .header-card .buttons, .header-card .notes, .copybtn, form, script, noscript"
FOOTER = '<p style="width: 100%; text-align: center; font-size: 8pt"><span class="pageNumber"></span></p>'
STYLE = """
.page { break-before: page; }
h1, h2, h3 { padding-top: 4px; } /* Chromium lists a heading that touches a page's edge twice in the outline's words */
.book-title { padding-top: 8cm; text-align: center; }
.book-contents ul { list-style: none; padding-left: 1.5rem; }
"""
LISTS_OF_IDS = {"aria-labelledby", "aria-describedby", "aria-controls", "for"}
_URL = re.compile(r"url\(#([^)]+)\)")


def parts_of_the_book(root: Path = ROOT) -> list[tuple[str, list[str]]]:
    """Each part's caption and its pages, as in _toc.yml; the first page has no caption."""
    toc = read_yaml(root / "_toc.yml")
    files = [(part.get("caption", ""), [entry["file"] for entry in part["chapters"]]) for part in toc["parts"]]
    return [(name, [file.removesuffix(".ipynb") for file in listed]) for name, listed in [("", [toc["root"]]), *files]]


def anchor(page: str, name: str = "") -> str:
    """The address in the whole book of a page, or of an element of one: no two pages share an address."""
    return "--".join(filter(None, ["page", page.replace("/", "-"), name]))


def moved(link: str, page: str, pages: list[str], site: Path, target: Path) -> str:
    """What a link of a page becomes in the whole book: those between its pages stay within it."""
    if re.match(r"[a-z][a-z0-9+.-]*:|//", link):
        return link
    path, _, name = link.partition("#")
    goal = Path(os.path.normpath((site / page).parent / unquote(path))) if path else site / f"{page}.html"
    inside = goal.relative_to(site).with_suffix("").as_posix()
    if inside in pages:
        return f"#{anchor(inside, unquote(name))}"
    return Path(os.path.relpath(goal, target.parent)).as_posix()


def make_text(html: str, page: str, pages: list[str], site: Path, target: Path) -> Tag:
    """The text of a page, made ready to stand beside the others in one file."""
    article = BeautifulSoup(html, "html.parser").select_one("article.bd-article")
    for element in article.select(LEFT_OUT):
        element.decompose()
    for element in article.find_all(True):
        if "id" in element.attrs:
            element["id"] = anchor(page, element["id"])
        for name in {"href", "src", "xlink:href"} & set(element.attrs):
            element[name] = moved(element[name], page, pages, site, target)
        for name in LISTS_OF_IDS & set(element.attrs):
            element[name] = " ".join(anchor(page, one) for one in element[name].split())
        for name, value in element.attrs.items():
            if "url(#" in value:
                element[name] = _URL.sub(lambda found: f"url(#{anchor(page, found[1])})", value)
    for link in article.select('a[href]:not([href^="#"], [href*=":"])'):
        link.unwrap()  # to a file of the site that is no page of the book
    for image in article.select("img"):
        image["loading"] = "eager"
    for fold in article.select("details"):
        set_fold(fold)
    article["class"].append("page")
    article["id"] = anchor(page)
    return article


def set_fold(fold: Tag) -> None:
    """Open a fold, unless it holds a check, a solution or an answer: links into these lead to their titles."""
    kinds = set(fold.get("class", []))
    if kinds and not kinds & {"check", "exercise"}:
        fold["open"] = ""
        return
    for element in fold.select(":scope [id]"):
        fold.summary.append(Tag(name="span", attrs={"id": element.attrs.pop("id")}))


def make_head(html: str, page: str, site: Path, target: Path) -> list[str]:
    """The style sheets of a page, and MathJax where formulas are left to it."""
    head = BeautifulSoup(html, "html.parser").head
    kept = head.select('link[rel="stylesheet"], style')
    kept += [script for script in head.select("script") if "mathjax" in str(script).lower()]
    for element in kept:
        element.attrs.pop("media", None)  # all of it is for print here
        for name in {"href", "src"} & set(element.attrs):
            element[name] = moved(element[name].partition("?")[0], page, [], site, target)
    return [str(element) for element in kept]


def make_contents(parts: list[tuple[str, list[str]]], titles: dict[str, str]) -> str:
    """The list of all pages, part by part, each a link."""
    items = [
        (f"<li>{escape(caption)}" if caption else "<li>")
        + "<ul>"
        + "".join(f'<li><a href="#{anchor(page)}">{escape(titles[page])}</a></li>' for page in pages)
        + "</ul></li>"
        for caption, pages in parts
    ]
    return f'<section class="page book-contents"><h1>Contents</h1><ul>{"".join(items)}</ul></section>'


def combine(parts: list[tuple[str, list[str]]], site: Path, target: Path, title: str, author: str) -> None:
    """Write all pages of the built site into one."""
    pages = [page for _, listed in parts for page in listed]
    heads, texts, titles = {}, [], {}
    for number, page in enumerate(pages, 1):
        print(f"\rCollecting page {number} of {len(pages)}", end="", flush=True)
        html = (site / f"{page}.html").read_text(encoding="utf-8")
        heads.update(dict.fromkeys(make_head(html, page, site, target)))
        text = make_text(html, page, pages, site, target)
        titles[page] = text.h1.get_text()
        texts.append(str(text))
    print()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'{"".join(heads)}<style>{STYLE}</style></head><body>'
        f'<section class="book-title"><h1>{escape(title)}</h1><p>{escape(author)}</p></section>'
        f"{make_contents(parts, titles)}{''.join(texts)}</body></html>",
        encoding="utf-8",
    )


def print_page(browser: Browser, source: Path, target: Path) -> None:
    """Let Chromium print a page of this computer as a PDF with an outline."""
    page = browser.new_page()
    page.set_default_timeout(0)
    page.goto(source.as_uri())
    page.evaluate("window.MathJax?.startup?.promise.then(() => true)")
    page.pdf(
        path=target, format="A4", prefer_css_page_size=True, print_background=True, outline=True, tagged=True,
        display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
    )  # fmt: skip
    page.close()


def main() -> None:
    parts = parts_of_the_book()
    missing = [page for _, listed in parts for page in listed if not (SITE / f"{page}.html").exists()]
    if missing:
        sys.exit(f"The site has no page {missing[0]}.html yet: build it with make site.")
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        sys.exit(f"Chromium is missing ({', '.join(CHROMIUM)}): install it, for example with apt-get install chromium.")
    config = read_yaml(ROOT / "_config.yml")
    combine(parts, SITE, COMBINED, config["title"], config["author"])
    print("Printing, which takes a few minutes", flush=True)
    start = time.monotonic()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        print_page(browser, COMBINED, OUTPUT)
    size = OUTPUT.stat().st_size / 1e6
    print(f"{OUTPUT.relative_to(ROOT)}: {size:.1f} MB, printed in {time.monotonic() - start:.0f} seconds")


if __name__ == "__main__":
    main()
