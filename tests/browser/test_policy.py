"""The policy in every page of the built site, and that Chromium keeps to it."""

import pytest

from lib.chapter.book import ROOT

HTML = ROOT / "_build" / "html"
BLOCKED = """url => new Promise(resolve => {
  document.addEventListener("securitypolicyviolation", event => resolve(event.effectiveDirective), { once: true });
  const script = document.createElement("script");
  script.src = url;
  script.onload = () => resolve("loaded");
  document.head.append(script);
})"""


def test_every_page_has_the_policy_before_all_that_loads():
    pages = [path.read_text(encoding="utf-8") for path in HTML.rglob("*.html")]
    before = [page.partition('<meta http-equiv="Content-Security-Policy" content="default-src \'self\'')[0] for page in pages]
    assert len(pages) > 10
    assert [text for text in before if any(f"<{tag}" in text for tag in ("script", "link", "style", "img", "body", "title"))] == []


@pytest.mark.parametrize("from_disk", [False, True], ids=["served", "from disk"])
def test_what_another_site_offers_is_not_loaded(browser, origin, from_disk):
    """Another port of this computer is another site. What the page itself asks for is loaded, from a disk as well."""
    page, problems = browser.new_page(), []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto((HTML / "book" / "index.html").as_uri() if from_disk else f"{origin}/book/index.html", wait_until="networkidle")
    assert problems == []
    asked, loaded = page.evaluate("[document.querySelectorAll('link[rel=stylesheet]').length, document.styleSheets.length]")
    assert asked == loaded > 1
    own = page.evaluate("document.querySelector('script[src]').src")
    assert page.evaluate(BLOCKED, own) == "loaded"
    assert page.evaluate(BLOCKED, "http://127.0.0.1:9/x.js") == "script-src-elem"
    page.close()
