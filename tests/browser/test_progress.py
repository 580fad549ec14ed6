"""Ticks for chapters read and solved: kept in the browser, shown everywhere, moved in a file, and never in the way."""

import json

import pytest

from .conftest import HTML, until

HOME, ROPE = "book/index.html", "book/attention/rope.html"
KEY = "executable-derivations-progress"
READ, SOLVED = '.progress-ticks input[name="read"]', '.progress-ticks input[name="solved"]'
BLOCKED = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }});"
FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"


def stored(chapters: dict) -> str:
    return json.dumps({"format": KEY, "version": 1, "chapters": chapters}, separators=(",", ":"))


@pytest.fixture
def reader(browser, origin):
    """Opens pages for one reader, whose browser keeps what it stores until the test ends."""
    contexts = []

    def open_page(path: str, keeps: str | None = None, script: str = "", root: str = origin, **options):
        if not contexts:
            contexts.append(browser.new_context(**options))
        page = contexts[0].new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(f"{error.message} {error.stack}"))
        page.on("dialog", lambda dialog: page.errors.append(dialog.message))
        if keeps is not None:
            page.add_init_script(f"localStorage['{KEY}'] ??= {json.dumps(keeps)};")
        page.add_init_script(script)
        page.goto(f"{root}/{path}", wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()


def kept(page) -> str | None:
    return page.evaluate(f"localStorage.getItem('{KEY}')")


def says(page) -> str:
    return page.locator(".progress-ticks [role=status], .progress-tools [role=status]").inner_text()


def give(page, content: str | bytes):
    """Choose a file for import and wait for what the page says of it."""
    data = content if isinstance(content, bytes) else content.encode()
    file = {"name": "p.json", "mimeType": "application/json", "buffer": data}
    page.locator(".progress-tools input").set_input_files(file)
    until(page, "document.querySelector('.progress-tools [role=status]').textContent !== ''")
    return says(page)


def test_ticks_are_kept_and_shown_on_every_view(reader):
    page = reader(ROPE)
    page.locator(READ).check()
    assert says(page) == "Kept in this browser: read."
    page.locator(SOLVED).check()
    assert kept(page) == stored({"rope": ["read", "solved"]})
    assert page.locator(".bd-sidenav .current > a .progress-mark").get_attribute("title") == "read and solved"
    page.reload()
    assert page.locator(READ).is_checked() and page.locator(SOLVED).is_checked()
    page.goto(page.url.replace(ROPE, HOME))
    box = page.locator('.learning-map a[data-chapter="rope"]')
    assert box.locator(".ticked").text_content() == "✓ read ✓ solved"
    assert box.get_attribute("aria-label").endswith("; read and solved")
    counts = page.locator("details.path", has_text="One weekend").locator(".progress-count")
    assert counts.inner_text() == "1 of 4 read, 1 solved"
    page.locator(".map-list > summary").click()
    mark = page.locator('.map-list .steps li li a[href$="rope.html"] .progress-mark').first
    assert mark.inner_text().strip() == "✓ read and solved"
    assert page.get_by_text("1 chapter read, 1 solved.").is_visible()
    assert page.errors == []


def test_ticks_can_be_taken_back_with_the_keyboard(reader):
    page = reader(ROPE, stored({"rope": ["read"]}))
    page.locator(READ).focus()
    page.keyboard.press("Space")
    assert says(page) == "Kept in this browser: no tick."
    assert kept(page) == stored({})
    assert page.locator(".bd-sidenav .current > a .progress-mark").inner_text() == ""


def test_another_tab_shows_a_new_tick(reader):
    home, chapter = reader(HOME), reader(ROPE)
    chapter.locator(READ).check()
    until(home, "document.querySelector('[data-chapter=rope] .ticked').textContent === '✓ read'")


def test_export_import_and_clear(reader, tmp_path):
    page = reader(HOME, stored({"rope": ["read"], "of-a-newer-book": ["solved"]}))
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename == "executable-derivations-progress.json"
    exported = download.value.path().read_text()
    assert exported == stored({"rope": ["read"], "of-a-newer-book": ["solved"]})
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Keep them").click()
    assert kept(page) == exported
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_role("button", name="Yes, clear all ticks").click()
    assert kept(page) is None and says(page) == "All ticks were cleared."
    assert page.locator('[data-chapter="rope"] .ticked').text_content() == ""
    assert give(page, exported) == "Imported: 2 new ticks; those that were here stay."
    assert kept(page) == exported
    assert page.errors == []


def test_import_adds_to_what_is_there(reader):
    page = reader(HOME, stored({"rope": ["read"], "of-a-newer-book": ["solved"]}))
    assert "1 new tick" in give(page, stored({"rope": ["read"], "ddpm": ["read"]}))
    assert json.loads(kept(page))["chapters"] == {"rope": ["read"], "of-a-newer-book": ["solved"], "ddpm": ["read"]}


DAMAGED = {
    "no JSON": ("{", "it is not JSON"),
    "no text": (b"\x89PNG\r\n\x1a\n\0\xff", "it is not JSON"),
    "empty": ("", "it is not JSON"),
    "null": ("null", "it is not progress of this book"),
    "foreign": ('{"chapters": {"rope": ["read"]}}', "it is not progress of this book"),
    "newer": (stored({}).replace('"version":1', '"version":2'), "it is not of version 1"),
    "list": (stored({}).replace("{}", "[]"), "it has no chapters"),
    "no chapters": (stored({}).replace("{}", "null"), "it has no chapters"),
    "wrong tick": (stored({"rope": ["eaten"]}), "the ticks of rope are not a list"),
    "no list": (stored({"rope": "read"}), "the ticks of rope are not a list"),
    "markup": (stored({"<img src=x onerror=alert(1)>": ["read"]}), "the name of a chapter is malformed"),
    "prototype": (stored({"__proto__": ["read"]}), "the name of a chapter is malformed"),
    "huge": (stored({f"chapter-{i}": ["read", "solved"] for i in range(3000)}), "it is larger than 64 KB"),
}


@pytest.mark.parametrize("content, why", DAMAGED.values(), ids=DAMAGED)
def test_a_bad_file_is_refused_and_nothing_is_lost(reader, content, why):
    before = stored({"rope": ["read"]})
    page = reader(HOME, before)
    message = give(page, content)
    assert message.startswith("The file was refused, and nothing was changed: ") and why in message
    assert kept(page) == before
    assert page.locator('[data-chapter="rope"] .ticked').text_content() == "✓ read"
    assert page.errors == []


@pytest.mark.parametrize("text", ["{", "x" * 70_000, stored({}).replace('"version":1', '"version":2')])
def test_unreadable_storage_is_left_until_it_is_cleared(reader, text):
    page = reader(ROPE, text)
    assert "cannot be read" in says(page) and page.locator(READ).is_disabled()
    home = reader(HOME)
    assert "cannot be read" in says(home)
    assert "cannot be read" in give(home, stored({"rope": ["read"]}))
    assert kept(home) == text
    with home.expect_download() as download:
        home.get_by_role("button", name="Export").click()
    assert download.value.path().read_text() == text
    home.get_by_role("button", name="Clear", exact=True).click()
    home.get_by_role("button", name="Yes, clear all ticks").click()
    until(page, "!document.querySelector('.progress-ticks input').disabled")
    assert home.errors == page.errors == []


def test_blocked_storage_leads_to_one_message_and_all_is_readable(reader, book):
    page = reader(ROPE, script=BLOCKED)
    assert says(page).startswith("This browser keeps nothing for this site")
    assert page.locator(READ).is_disabled()
    assert page.locator("h2").count() > 5
    home = reader(HOME, script=BLOCKED)
    assert says(home).startswith("This browser keeps nothing for this site")
    assert home.locator(".progress-tools button:visible").count() == 0
    assert home.locator(".learning-map a").count() == len(book)
    ours = [error for error in page.errors + home.errors if "progress.js" in error]
    assert ours == []  # the theme's own scripts complain


def test_full_storage_takes_the_tick_back_and_says_so(reader):
    page = reader(ROPE, script=FULL)
    page.locator(READ).click()
    assert not page.locator(READ).is_checked()
    assert says(page) == "Nothing was changed: this browser's storage is full or closed to this site."
    assert page.locator(".bd-sidenav .current > a .progress-mark").get_attribute("title") == ""


def test_from_disk(reader):
    root = HTML.as_uri()
    page = reader(ROPE, root=root)
    page.locator(READ).check()
    page.goto(f"{root}/{HOME}")
    assert page.locator('[data-chapter="rope"] .ticked').text_content() == "✓ read"
    assert "1 new tick" in give(page, stored({"ddpm": ["read"]}))
    assert page.errors == []


def test_without_scripts_no_tick_is_offered(reader):
    page = reader(ROPE, java_script_enabled=False)
    assert page.locator(".progress-ticks").count() == 0


def test_only_chapters_have_ticks(reader):
    page = reader("book/glossary.html")
    assert page.locator(".progress-ticks").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ticks_on_a_phone_fit_and_are_legible(reader, scheme):
    page = reader(ROPE, stored({"rope": ["read"]}), color_scheme=scheme, viewport={"width": 390, "height": 844})
    box = page.locator(".progress-ticks").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    home = reader(HOME)
    assert home.evaluate("document.documentElement.scrollWidth") <= 390
    tools = home.locator(".progress-tools").bounding_box()
    assert tools["x"] + tools["width"] <= 390


@pytest.mark.parametrize("place", ["", "#paths", "#your-progress"])
def test_nothing_moves_when_ticks_come(reader, place):
    watch = """window.shift = 0;
        new PerformanceObserver(list => list.getEntries().forEach(entry => window.shift += entry.value))
            .observe({type: "layout-shift", buffered: true});"""
    ticked = stored({slug: ["read", "solved"] for slug in ("rope", "ddpm", "linear-attention", "adam-vs-adamw")})
    page = reader(HOME + place, ticked, script=watch, viewport={"width": 390, "height": 844})
    page.wait_for_timeout(500)
    assert page.evaluate("window.shift") <= 0.02


def test_status_is_announced(reader):
    for path in (ROPE, HOME):
        assert reader(path).get_by_role("status").count() >= 1
