"""The first page: its promise on one screen, the learning map, the paths, and its weight."""

import gzip
import re

import pytest
from course_site.home import paths
from course_site.learning_map import needs_of

from .conftest import HTML

HOME = "book/index.html"
BOXES = ".learning-map a"


@pytest.fixture
def fresh(browser, origin):
    """A first visit in a browser of its own: `javascript=False` and the like are Playwright's options."""
    contexts = []

    def open_home(width: int = 1280, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.goto(f"{origin}/{HOME}", wait_until="networkidle")
        return page

    yield open_home
    for context in contexts:
        context.close()


def test_promise_totals_and_a_claim_are_on_the_first_screen(visit, book):
    page = visit(HOME).page
    assert page.locator(".totals").inner_text().startswith(f"{len(book)} of 47 chapters")
    assert "mathematics of machine learning" in page.locator("h1 + p").inner_text()
    begin = page.locator(".bd-article p", has_text="Begin with")
    assert begin.locator("a").evaluate_all("all => all.map(a => a.hash)")[:2] == ["#paths", "#learning-map"]
    bottom = page.locator(".claim-example").evaluate("e => e.getBoundingClientRect().bottom + scrollY")
    assert bottom < 600


def test_claim_shows_what_its_check_printed_and_leads_to_it(fresh, book):
    page = fresh()
    chapter = next(one for one in book if one.slug == "conjugate-gradient")
    printed = page.locator(".claim-example pre").inner_text().strip()
    assert printed in chapter.output_text(next(check.cell for check in chapter.checks if check.number == 3))
    page.locator(".claim-example a.tick").click()
    page.wait_for_url("**/conjugate-gradient.html#fold-*")
    assert page.locator("details.fold[open]").count() == 1


def test_map_has_a_link_for_every_chapter_in_reading_order(visit, book):
    links = visit(HOME).page.locator(BOXES)
    assert links.evaluate_all("all => all.map(a => a.dataset.chapter)") == [chapter.slug for chapter in book]
    hrefs = links.evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert hrefs == [f"{chapter.part}/{chapter.slug}.html" for chapter in book]


def test_map_says_in_words_what_it_draws(visit, book):
    page = visit(HOME).page
    titles, needs = {chapter.slug: chapter.header.title for chapter in book}, needs_of(book)
    for chapter in book:
        label = page.locator(f'{BOXES}[data-chapter="{chapter.slug}"]').get_attribute("aria-label")
        assert label.startswith(f"{titles[chapter.slug]}: ") and f"{chapter.header.minutes_to_work} to work" in label
        assert all(titles[slug] in label for slug in needs[chapter.slug])
    drawn = page.locator(".arrows path").evaluate_all("all => all.map(a => [a.dataset.to, a.dataset.from])")
    assert sorted(map(tuple, drawn)) == sorted((slug, other) for slug in needs for other in needs[slug])
    described = page.locator(".learning-map svg").evaluate(
        "e => ['aria-labelledby', 'aria-describedby'].every(a => e.querySelector('#' + e.getAttribute(a)).textContent)"
    )
    assert described


def test_texts_of_the_map_stay_in_their_boxes(visit):
    over = visit(HOME).page.evaluate(
        """() => [...document.querySelectorAll('.learning-map a')].filter(a => {
            const box = a.querySelector('.box').getBBox();
            const [title, minutes] = [...a.querySelectorAll('text')].map(text => text.getBBox());
            return title.x + title.width > box.x + box.width || title.y + title.height > minutes.y + 2;
        }).map(a => a.dataset.chapter)"""
    )
    assert over == []


def test_focused_box_lights_up_what_it_needs(fresh, book):
    page = fresh()
    lit = lambda: set(page.locator(f"{BOXES}.lit").evaluate_all("all => all.map(a => a.dataset.chapter)"))  # noqa: E731
    page.locator(f'{BOXES}[data-chapter="gau-flash"]').focus()
    assert lit() == {"gau-flash", "rope", "linear-attention"}
    assert page.locator(".arrows path.lit").count() == 2
    page.locator(f'{BOXES}[data-chapter="rope"]').hover()
    assert lit() == {"rope"}
    page.mouse.move(0, 0)
    assert lit() == {"gau-flash", "rope", "linear-attention"}
    page.keyboard.press("Tab")
    assert "gau-flash" not in lit()


def test_map_is_walked_with_the_keyboard(fresh, book):
    page = fresh()
    page.locator(".learning-map a").first.focus()
    seen = []
    for _ in book:
        seen.append(page.evaluate("document.activeElement.dataset.chapter"))
        if len(seen) < len(book):
            page.keyboard.press("Tab")
    assert seen == [chapter.slug for chapter in book]
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{seen[-1]}.html")


def test_list_beside_the_map_has_every_chapter_once(fresh, book):
    page = fresh()
    page.locator(".map-list > summary").click()
    items = page.locator(".map-list .steps li li")
    titles = items.evaluate_all("all => all.map(item => item.querySelector('a').innerText.trim())")
    assert sorted(titles) == sorted(chapter.header.title for chapter in book)


@pytest.mark.parametrize("width", [320, 360, 390])
def test_map_on_a_phone_scrolls_in_its_own_box(visit, width):
    page = visit(HOME, width).page
    wide, narrow = page.locator(".learning-map").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide > narrow
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".learning-map").get_attribute("tabindex") == "0"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_map_is_legible(visit, scheme):
    """Texts have a contrast of at least 4.5 with their box, and boxes and arrows one of 3 with the page."""
    page = visit(HOME, scheme=scheme).page
    lowest = page.evaluate(
        """() => {
            const rgb = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
            const light = colour => rgb(colour).map(v => v / 255)
                .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            const ground = light(getComputedStyle(document.querySelector('.learning-map .box')).fill);
            const all = (selector, property) => Math.min(...[...document.querySelectorAll('.learning-map ' + selector)]
                .map(e => contrast(light(getComputedStyle(e)[property]), ground)));
            return {texts: all('text', 'fill'), boxes: all('.box', 'stroke'), arrows: all('.arrows path', 'stroke')};
        }"""
    )
    assert lowest["texts"] >= 4.5 and lowest["boxes"] >= 3 and lowest["arrows"] >= 3


def test_paths_show_written_chapters_and_hours(fresh, book):
    page = fresh()
    written = {chapter.slug for chapter in book}
    for fold, path in zip(page.locator("details.path").all(), paths(), strict=True):
        fold.locator("summary").click()
        slugs = [re.sub(r".*/|\.html$", "", a.get_attribute("href")) for a in fold.locator("ol a").all()]
        assert slugs == [slug for slug in path.chapters if slug in written]
        assert re.search(rf"{len(slugs)} chapters?, \d+ hours", fold.locator("summary").inner_text())
        later = len(path.chapters) - len(slugs)
        lines = fold.locator(".unwritten").all_inner_texts()
        assert len(lines) == (later > 0) and all(line.startswith(f"Not yet written: {later} (") for line in lines)


def test_unwritten_chapters_take_one_line(visit, book):
    lines = visit(HOME).page.locator(".bd-article section > p.unwritten").all_inner_texts()
    left = 47 - len(book)
    assert lines == [f"{left} chapters of the plan are not yet written. Every digest lists them."] * (left > 0)


def test_everything_is_there_without_scripts(fresh, book):
    page = fresh(java_script_enabled=False)
    assert page.locator(BOXES).count() == len(book)
    page.locator("details.path summary").first.click()
    assert page.locator("details.path[open] ol a").first.is_visible()
    assert page.get_by_text("Ticks need scripts").is_visible()
    assert page.locator(".progress-tools button").count() == 0


def test_home_is_light(origin, browser):
    """160 KB on a first visit, the page itself under 40 KB, as a server sends them."""
    context = browser.new_context()
    page, asked = context.new_page(), set()
    page.on("request", lambda request: asked.add(request.url.split("?")[0].split("#")[0]))
    page.goto(f"{origin}/{HOME}", wait_until="networkidle")
    context.close()
    names = [url.removeprefix(f"{origin}/") for url in asked]
    compress = {name: bytes if name.endswith((".woff", ".woff2")) else gzip.compress for name in names}
    sizes = {name: len(compress[name]((HTML / name).read_bytes())) for name in names}
    assert sum(sizes.values()) <= 160_000, sizes
    assert sizes[HOME] <= 40_000
