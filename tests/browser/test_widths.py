"""Every page fits telephones, tablets and desktops, light and dark, with everything that can be opened open."""

import itertools

import pytest

from .conftest import address, until

WIDTHS = (320, 360, 390, 768, 1280)
THEMES = ("light", "dark")

# What does not fit, each in a few words. Displays count as boxes, not their formulas within.
PROBLEMS = """() => {
  const found = new Set();
  const say = (what, element) => {
    const names = [...element.classList].map(name => `.${name}`).join("");
    found.add(`${what}: ${element.localName}${names} “${element.textContent.trim().slice(0, 40)}”`);
  };
  const edge = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > innerWidth) say("the page scrolls sideways", document.body);

  const walk = (element) => {
    if (!element.checkVisibility({ visibilityProperty: true })) return;
    const box = element.getBoundingClientRect();
    if (box.width && box.height && (box.right > edge + 1 || box.left < -1)) say("over the page's edge", element);
    if (element.matches("svg") || getComputedStyle(element).overflowX !== "visible") return;
    for (const child of element.children) walk(child);
  };
  walk(document.querySelector(".bd-article-container"));
  walk(document.querySelector(".bd-header-article"));

  for (const mark of document.querySelectorAll(".equation-number, .bd-article span.math:not(table *) > svg")) {
    const column = mark.closest(".equation") ?? mark.closest(":not(span, svg, em, strong, a)");
    if (mark.checkVisibility() && mark.getBoundingClientRect().right > column.getBoundingClientRect().right + 1) {
      say("cut off", mark.closest("[data-tex]") ?? mark);
    }
  }

  for (const table of document.querySelectorAll(".bd-article table")) {
    const column = table.parentElement.clientWidth;
    const width = Math.max(table.scrollWidth, table.offsetWidth);
    if (table.checkVisibility() && width > column + 1) say(`a table is wider than ${column} pixels`, table);
    for (const cell of table.querySelectorAll("td, th")) {
      if (cell.checkVisibility() && cell.scrollWidth > cell.clientWidth + 1) say("a cell is cut", cell);
    }
  }

  for (const box of document.querySelectorAll(".bd-article :not(math, math *, svg, svg *, pre *)")) {
    const style = getComputedStyle(box);
    if (!["auto", "scroll"].includes(style.overflowX) || !box.checkVisibility()) continue;
    if (box.scrollHeight > box.clientHeight) {
      say(style.overflowY === "hidden" ? "cut at the bottom" : "a vertical bar", box);
    }
    if (box.scrollWidth <= box.clientWidth + 1) continue;
    if (style.maskImage === "none") say("no fading edge", box);
    if (box.tabIndex < 0) say("out of the keyboard's reach", box);
  }
  return [...found];
}"""


def test_everything_fits_at_every_width(browser, origin, path):
    page = browser.new_page()
    page.goto(f"{origin}/{path}", wait_until="networkidle")
    page.add_style_tag(content="* { transition: none !important; }")
    page.evaluate("document.querySelectorAll('.bd-article details').forEach(fold => (fold.open = true))")
    problems = []
    for width, themes in zip(WIDTHS, itertools.cycle([THEMES, THEMES[::-1]])):  # a switch of themes takes time
        page.set_viewport_size({"width": width, "height": 900})
        for theme in themes:
            page.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
            page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            problems += [f"{width} pixels, {theme}: {problem}" for problem in page.evaluate(PROBLEMS)]
    page.close()
    assert problems == []


def test_no_displayed_formula_scrolls_on_a_desktop(visit, chapter):
    too_wide = """boxes => boxes.filter(box => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1)
      .map(box => box.dataset.tex)"""
    assert visit(chapter).page.locator("div.math").evaluate_all(too_wide) == []


@pytest.fixture(scope="session")
def wide(visit, book):
    """A chapter on a telephone, and its first formula that is wider than the page."""
    page = visit(book[0], width=360).page
    return page, page.locator("div.math.more-right").first.element_handle()


def test_the_edge_fades_where_there_is_more(wide):
    page, box = wide
    scrolled = "box => box.scrollTo(%s, 0)"
    for where, sides in [("40", "both"), ("box.scrollWidth", "left"), ("0", "right")]:
        box.evaluate(scrolled % where)
        page.wait_for_timeout(100)
        classes = box.get_attribute("class").split()
        assert ("more-left" in classes, "more-right" in classes) == (sides != "right", sides != "left")


def test_the_keyboard_scrolls_a_wide_box_that_has_a_name(wide):
    page, box = wide
    box.focus()
    page.keyboard.press("ArrowRight")
    until(page, "document.activeElement.scrollLeft > 0")
    assert box.get_attribute("role") == "group"
    assert box.get_attribute("aria-label") == "Formula, scrolls sideways"


def test_boxes_scroll_without_scripts(browser, origin, book):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 900})
    page = context.new_page()
    page.goto(f"{origin}/{address(book[0])}")
    code = page.locator(".cell_input pre:visible").first
    assert code.evaluate("e => [e.scrollWidth > e.clientWidth, getComputedStyle(e).overflow]") == [True, "auto hidden"]
    context.close()


def test_tables_stack_on_a_telephone_and_cells_say_their_column(visit, book):
    rows = "all => all.map(cell => [cell.getBoundingClientRect().left, getComputedStyle(cell, '::before').content])"
    cells = "#in-production tbody tr:first-child td"
    wide, narrow = (visit(book[0], width).page.locator(cells).evaluate_all(rows) for width in (768, 360))
    assert len({left for left, _ in wide}) == 4 and len({left for left, _ in narrow}) == 1
    names = ["Library", "Function", "What it does", "What follows"]
    assert [name for _, name in narrow] == [f'"{name}"' for name in names]


def test_folded_code_wraps_at_88_columns(visit, book):
    """A line of 88 characters stands on one line at most desktops' width, one of 89 does not."""
    page = visit(book[0], width=1600).page
    heights = """length => {
      const fold = document.querySelector("details.check");
      const code = fold.querySelector(".cell_input pre").cloneNode();
      code.textContent = "x".repeat(length);
      fold.open = true;
      fold.querySelector(".cell_input .highlight").append(code);
      const height = code.clientHeight;
      code.remove();
      return height;
    }"""
    assert page.evaluate(heights, 88) == page.evaluate(heights, 1) < page.evaluate(heights, 89)
