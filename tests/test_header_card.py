"""The first screen of a chapter, its citation, and the chapters that it is needed for."""

import io
import json
import re
from pathlib import Path

import pytest
from course_site.citing import bibtex, line
from course_site.header_card import buttons, how_to_report, how_to_run, parts
from course_site.light import with_sizes
from course_site.needed_for import block, needed_by
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from lib.chapter.addresses import Addresses
from lib.chapter.notebook import Chapter

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
HEADER = """# {title}

> **Source note.** It says
> something.

- **Question:** What is `it`?
- **Sources:** [a paper](https://example.org), the origin
- **You will be able to:** write $a;b$ down (exercise 1); say what it costs; read on
- **Needs:** {needs}
- **Time:** 45 minutes to work"""
NOWHERE, PUBLISHED = Addresses("", "main"), Addresses("https://github.com/a/b", "main")


def write_chapter(folder: Path, name: str, title: str, needs: str = "nothing") -> Chapter:
    """A chapter of a header and one figure."""
    figure = {
        "cell_type": "code", "id": "b", "source": "plt.show()", "execution_count": 1,
        "metadata": {"mystnb": {"image": {"alt": "A dot"}, "figure": {"caption": "It is small."}}},
        "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"image/png": PNG}}],
    }  # fmt: skip
    header = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": HEADER.format(title=title, needs=needs)}
    metadata = {"course": {"digest": "04"}, "language_info": {"name": "python"}}
    path = folder / f"{name}.ipynb"
    content = {"cells": [header, figure], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content), encoding="utf-8")
    return Chapter(path)


@pytest.fixture
def build(tmp_path):
    """Build a site of the chapters that are in the folder; returns the HTML of a page."""

    def build(page: str) -> str:
        names = sorted(path.stem for path in tmp_path.glob("*.ipynb"))
        chapters = [{"file": name} for name in names]
        (tmp_path / "_toc.yml").write_text(json.dumps({"root": "index", "parts": [{"chapters": chapters}]}))
        toctree = "\n".join(names)
        (tmp_path / "index.md").write_text(f"# All\n\n```{{toctree}}\n{toctree}\n```")
        options = {"extensions": ["myst_nb", "course_site"], "nb_execution_mode": "off"}
        options |= {"myst_enable_extensions": ["dollarmath"]}
        options |= {"exclude_patterns": ["_build", "jupyter_execute"]}
        options |= {"project": "The book", "author": "A & B", "copyright": "2026"}
        out, warnings = tmp_path / "_build", io.StringIO()
        with docutils_namespace():
            Sphinx(tmp_path, None, out, out / ".doctrees", "html", options, status=None, warning=warnings).build()
        assert warnings.getvalue() == ""
        return (out / f"{page}.html").read_text(encoding="utf-8")

    return build


def test_the_question_comes_first_and_the_note_is_folded(build, tmp_path):
    write_chapter(tmp_path, "one", "One")
    page = build("one")
    order = ['class="header-card', '<p class="question">What is', "You will be able to",
             '<ul class="outcomes simple">', "<strong>Needs</strong> nothing",
             '<ul class="facts">', "Standalone notebook", '<details class="fold about">', "Source note.", "<dt>Sources",
             "a paper", "Cite this chapter", "Report an error", "</details>"]  # fmt: skip
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    assert "header_card.css" in page and "Question" not in page and "header_card.css" not in build("index")


def test_the_first_figure_is_shown_again_without_words_and_at_once(build, tmp_path):
    write_chapter(tmp_path, "one", "One")
    copy, figure = re.findall(r"<img [^>]*>", build("one"))
    source = re.search(r'src="[^"]+"', figure)[0]
    assert source in copy and 'alt=""' in copy and 'class="first-picture"' in copy and "lazy" not in copy
    assert 'width="1" height="1"' in copy and 'loading="lazy"' in figure


def test_sizes_do_not_depend_on_when_a_picture_is_loaded(build, tmp_path):
    write_chapter(tmp_path, "one", "One")
    build("one")
    picture = next((tmp_path / "_build" / "_images").glob("*.png")).name
    html = f'<img class="first-picture" src="{picture}"/><img src="{picture}"/>'
    at_once, later = re.findall(r"<img [^>]*>", with_sizes(html, tmp_path / "_build" / "_images"))
    assert at_once.startswith('<img width="1"') and later.startswith('<img loading="lazy" width="1"')


def test_outcomes_are_parted_at_semicolons_of_the_text_alone():
    content = [nodes.Text("write "), nodes.math("", "a;b"), nodes.Text(" down; say; read "), nodes.literal("", "c;d")]
    listed = parts(nodes.paragraph("", "", *content))
    assert [item.astext() for item in listed] == ["write a;b down", "say", "read c;d"]


def test_ways_to_run_with_and_without_an_address(tmp_path):
    one = write_chapter(tmp_path, "one", "One")
    without, published = buttons(one, "book/part/one", NOWHERE), buttons(one, "book/part/one", PUBLISHED)
    assert 'href="../../standalone/one.ipynb" download' in without and "Open in Colab" not in without
    assert published.index("Open in Colab") < published.index("Standalone notebook")
    notes = how_to_run("book/part/one", NOWHERE)
    assert "Upload notebook" in notes and 'href="../../_sources/book/part/one.ipynb" download' in notes
    notes = how_to_run("book/part/one", PUBLISHED)
    assert "Upload notebook" not in notes and "https://github.com/a/b/blob/main/book/part/one.ipynb" in notes


def test_where_errors_go_with_and_without_an_address():
    assert "Write to whoever gave you" in how_to_report(NOWHERE)
    assert 'href="https://github.com/a/b/issues">Report an error</a>' in how_to_report(PUBLISHED)


def test_a_citation_has_the_address_that_the_book_has():
    facts = ("A & B: 5 %", "The book", "The authors", "2026")
    assert line(*facts, "") == "The authors (2026). A & B: 5 %. In: The book."
    assert line(*facts, "https://a.org/b.html").endswith("In: The book. https://a.org/b.html")
    entry = bibtex("one-2026", *facts, "")
    assert entry.splitlines()[0] == "@misc{one-2026," and entry.count("{") == entry.count("}")
    assert r"title = {{A \& B: 5 \%}}" in entry and "author = {{The authors}}" in entry and "url" not in entry
    assert "  url = {https://a.org/b_c.html},\n" in bibtex("one-2026", *facts, "https://a.org/b_c.html")


def test_a_page_says_how_to_cite_it(build, tmp_path):
    write_chapter(tmp_path, "one", "One")
    page = build("one")
    assert "A &amp; B (2026). One. In: The book." in page
    assert '<div class="highlight"><pre>@misc{one-2026,' in page, "the button that copies code looks for these"


def test_chapters_are_listed_where_they_are_needed(tmp_path):
    one, two = write_chapter(tmp_path, "one", "One"), write_chapter(tmp_path, "two", "Two", "[one](one.ipynb)")
    assert needed_by([one, two]) == {one.path: [two], two.path: []}
    assert '<a class="reference internal" href="../two.html">2 &lt; 3</a>.</p>' in block([("../two.html", "2 < 3")])
    assert block([]).endswith("No other chapter builds on it so far.</p>\n")


def test_a_page_follows_the_chapters_that_need_it(build, tmp_path):
    write_chapter(tmp_path, "one", "One")
    write_chapter(tmp_path, "two", "Two")
    assert "No other chapter builds on it so far." in build("one")
    write_chapter(tmp_path, "two", "Two or more", "[one](one.ipynb)")
    page = build("one")
    assert 'needed for.</strong> <a class="reference internal" href="two.html">Two or more</a>.' in page
    write_chapter(tmp_path, "two", "Two")
    assert "No other chapter builds on it so far." in build("one")
    assert "needed for" not in build("index")
