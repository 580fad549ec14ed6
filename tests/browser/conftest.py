"""The built site, served on localhost and opened in the system's Chromium as a reader would.

A test that takes `path` runs for every page, one that takes `chapter` for every chapter of `_toc.yml`.
"""

import functools
import http.server
import shutil
import threading
import time
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, sync_playwright

from lib.chapter.book import ROOT, chapters, pages
from lib.chapter.notebook import Chapter

HTML = ROOT / "_build" / "html"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
MOST_OPEN = 12
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def address(chapter: Chapter) -> str:
    """The address of a chapter's page."""
    return f"book/{chapter.part}/{chapter.slug}.html"


def until(page: Page, condition: str, seconds: float = 10) -> None:
    """Wait for a condition in JavaScript. Playwright's own waiting evaluates strings, which the pages' policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never true: {condition}"
        page.wait_for_timeout(50)


def pytest_generate_tests(metafunc):
    if "path" in metafunc.fixturenames:
        metafunc.parametrize("path", [f"{page}.html" for page in pages()])
    if "chapter" in metafunc.fixturenames:
        metafunc.parametrize("chapter", chapters(), ids=lambda chapter: chapter.slug)


def pytest_collection_modifyitems(items):
    """Page by page, so that each is opened once and can be closed; all tests of a page run in one process."""

    def page(item) -> str:
        given = getattr(item, "callspec", None)
        target = given and (given.params.get("path") or given.params.get("chapter"))
        return address(target) if isinstance(target, Chapter) else target or ""

    items.sort(key=page)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(page(item) or item.module.__name__))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Say nothing of each request."""


@pytest.fixture(scope="session")
def book() -> list[Chapter]:
    """All chapters."""
    return chapters()


@pytest.fixture(scope="session")
def origin():
    """The address of the site, without a slash at the end."""
    if not (HTML / "index.html").exists():
        pytest.fail("there is no built site in _build/html: build it with make site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        pytest.fail("Chromium is missing: install it, for example with apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """An opened page and what happened while it loaded."""

    page: Page
    requests: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def visit(browser, origin):
    """Opens a page or a chapter for a width and a colour scheme, and remembers what happened meanwhile.

    The last few stay open: all of the book's would take more memory than a small machine has.
    """
    opened = {}

    def open_page(target: str | Chapter, width: int = 1280, scheme: str = "light") -> Visit:
        path = address(target) if isinstance(target, Chapter) else target
        key = (path, width, scheme)
        if key not in opened:
            if len(opened) == MOST_OPEN:
                opened.pop(next(iter(opened))).page.close()
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            opened[key] = seen = Visit(page)
            page.on("request", lambda request: seen.requests.append(request.url))
            page.on("requestfailed", lambda request: seen.failures.append(f"{request.url} failed"))
            page.on("response", lambda reply: reply.status < 400 or seen.failures.append(f"{reply.url} {reply.status}"))
            page.on("console", lambda message: message.type == "error" and seen.errors.append(message.text))
            page.on("pageerror", lambda error: seen.errors.append(str(error)))
            page.goto(f"{origin}/{path}", wait_until="networkidle")
        return opened[key]

    return open_page
