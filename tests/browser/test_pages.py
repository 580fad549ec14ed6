"""What holds for every page."""

from .conftest import address, until


def test_first_address_leads_to_the_first_page(visit):
    assert visit("index.html").page.url.endswith("/book/index.html")


def test_no_request_leaves_the_site(visit, origin, path):
    seen = visit(path)
    outside = [url for url in seen.requests if not url.startswith((origin, "data:", "blob:"))]
    assert outside == []
    assert seen.failures == []


def test_no_console_error(visit, path):
    assert visit(path).errors == []


def test_one_search_field(visit, path):
    assert visit(path).page.locator(".search-button-field:visible, form.bd-search:visible").count() == 1


def test_sidebar_shows_the_open_page(browser, origin, book):
    """Also where the reader comes from a page that left the sidebar elsewhere."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    for chapter in (book[0], book[-1], book[0]):
        page.goto(f"{origin}/{address(chapter)}", wait_until="networkidle")
        entry = page.locator(".bd-sidebar-primary a.current").bounding_box()
        assert 0 <= entry["y"] <= 800 - entry["height"]
    page.close()


def test_on_a_telephone_the_sidebar_opens_at_the_page_and_the_contents_close_at_a_tap(browser, origin, book):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{origin}/{address(book[-1])}")
    page.locator("button.primary-toggle").click()
    entry = page.locator("dialog[open] a.current").first.bounding_box()
    assert 0 < entry["y"] < 844
    page.keyboard.press("Escape")
    page.locator("button.secondary-toggle").click()
    page.locator("dialog[open] a[href^='#']").nth(2).click()
    until(page, "!document.querySelector('dialog[open]')")
    page.close()


def test_internal_links_land(visit, origin, path):
    """Every link to an address within the site answers, and its fragment names an element of its page."""
    page = visit(path).page
    address = "all => all.map(a => new URL(a.getAttribute('href'), document.baseURI).href)"
    hrefs = page.locator("a[href]").evaluate_all(address)
    links = {link for link in hrefs if link.startswith(origin)}
    addresses = {link.partition("#")[0] for link in links}
    replies = {address: page.request.get(address) for address in addresses}
    assert [address for address, reply in replies.items() if not reply.ok] == []
    texts = {address: reply.text() for address, reply in replies.items()}
    fragments = [link.partition("#") for link in links if "#" in link]
    assert [f"{a}#{name}" for a, _, name in fragments if name and f'id="{name}"' not in texts[a]] == []


def test_dark_mode(visit, path):
    """The page turns dark with the reader's system, and text, links and formulas stay legible."""
    page = visit(path).page
    try:
        page.emulate_media(color_scheme="dark")
        page.wait_for_selector("html[data-theme=dark]")
        contrast = page.evaluate(CONTRAST, SELECTORS)
    finally:
        page.emulate_media(color_scheme="light")
    assert {what: value for what, value in contrast.items() if value < 4.5} == {}


SELECTORS = ["p", "a.reference", "h1", "svg.formula text", ".tick", ".header-card li", ".highlight .kn", ".highlight .s2"]
CONTRAST = """selectors => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const result = {};
  for (const selector of selectors) {
    const e = document.querySelector(`.bd-article ${selector}`);
    if (!e) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    result[selector] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }
  return result;
}"""
