"""What a page's head asks for: style sheets that were put together, and scripts that wait."""

import re

import pytest
from course_site.head import parts, put_together, sheets, style, with_scripts_that_wait

LINK = '<link rel="stylesheet" type="text/css" href="{way}_static/{name}?v=1" />\n'
THEME = '<link href="{way}_static/styles/theme.css?digest=5" rel="stylesheet" />\n'
PRINT = '<link media="print" rel="stylesheet" type="text/css" href="{way}_static/paper.css?v=2" />\n'
STYLES = {
    "basic.css": "li { list-style: url(file.png) }",
    "styles/theme.css": '@charset "UTF-8";@import "../basic.css";\nhtml { background: url("../vendor/a.svg") }',
    "course.css": "p { color: red }",
    "formula-font.css": '@font-face { src: url("data:font/woff;base64,AA") }',
    "tables.css": "td { color: blue }",
    "paper.css": "p { color: black }",
}


@pytest.fixture
def site(tmp_path):
    for name, text in STYLES.items():
        file = tmp_path / "_static" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "_static" / "documentation_options.js").write_text("const DOCUMENTATION_OPTIONS = {};")
    (tmp_path / "_static" / "macros.html").write_text(LINK.format(way="", name="none.css"))
    for address, names in {"index.html": ["course.css"], "deep/a.html": ["course.css", "formula-font.css", "tables.css"]}.items():
        way = "../" * address.count("/")
        head = THEME.format(way=way) + "".join(LINK.format(way=way, name=name) for name in names) + PRINT.format(way=way)
        page = tmp_path / address
        page.parent.mkdir(exist_ok=True)
        page.write_text(f"<head>\n{head}</head><body></body>")
    (tmp_path / "moved.html").write_text("<meta http-equiv=refresh>")
    return tmp_path


def test_a_sheet_holds_what_it_imports_and_its_addresses_count_from_the_folder_of_all(site):
    text = style(site / "_static", "styles/theme.css")
    assert text == 'li { list-style: url(file.png) }\nhtml { background: url(vendor/a.svg) }'
    assert style(site / "_static", "formula-font.css") == STYLES["formula-font.css"]


def test_all_pages_share_the_first_sheet_and_the_font_stands_alone(site):
    put_together(site)
    pages = {name: (site / name).read_text() for name in ("index.html", "deep/a.html")}
    links = {name: re.findall(r'href="((?:\.\./)*)_static/(sheets-\w+\.css)\?v=\w+" data-sheets="([^"]*)"', page) for name, page in pages.items()}
    assert [names for *_, names in links["index.html"]] == ["styles/theme.css course.css"]
    assert [names for *_, names in links["deep/a.html"]] == ["styles/theme.css course.css", "formula-font.css", "tables.css"]
    assert links["index.html"][0][1] == links["deep/a.html"][0][1]
    assert links["deep/a.html"][0][0] == "../" and "p { color: red }" in (site / "_static" / links["index.html"][0][1]).read_text()
    assert all("paper.css?v=2" in page for page in pages.values())


def test_a_later_build_puts_new_styles_into_the_sheets_of_old_pages_and_drops_what_nobody_names(site):
    put_together(site)
    once = (site / "deep" / "a.html").read_text()
    put_together(site)
    assert (site / "deep" / "a.html").read_text() == once
    (site / "_static" / "tables.css").write_text("td { color: green }")
    (site / "_static" / "sheets-old.css").write_text("")
    put_together(site)
    again = (site / "deep" / "a.html").read_text()
    assert sheets(again) == sheets(once) and again != once
    written = [file.read_text() for file in (site / "_static").glob("sheets-*.css")]
    assert len(written) == 3 and "td { color: green }" in written


def test_pages_without_a_head_and_the_themes_macros_stay(site):
    put_together(site)
    assert (site / "moved.html").read_text() == "<meta http-equiv=refresh>"
    assert "none.css" in (site / "_static" / "macros.html").read_text()


def test_groups_that_are_empty_make_no_file():
    assert parts(["a", "b"], ["a", "b"]) == [["a", "b"]]
    assert parts(["formula-font.css"], []) == [["formula-font.css"]]


def test_scripts_wait_and_the_options_stand_in_the_page():
    html = (
        '<link rel="preload" as="script" href="_static/scripts/bootstrap.js?digest=5" />\n'
        '<script src="_static/documentation_options.js?v=9"></script>\n<script>DOCUMENTATION_OPTIONS.pagename = "a";</script>\n'
        '<script src="../_static/doctools.js?v=9"></script>\n<script defer="defer" src="_static/own.js"></script>'
        '<script src="searchindex.js"></script>'
    )
    assert with_scripts_that_wait(html, "const DOCUMENTATION_OPTIONS = {};") == (
        '<script>const DOCUMENTATION_OPTIONS = {};</script>\n<script>DOCUMENTATION_OPTIONS.pagename = "a";</script>\n'
        '<script defer="defer" src="../_static/doctools.js?v=9"></script>\n<script defer="defer" src="_static/own.js"></script>'
        '<script defer="defer" src="searchindex.js"></script>'
    )
