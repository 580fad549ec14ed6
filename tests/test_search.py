"""The index of the search: what is in it, what is not, and the other names of chapters."""

import io
import json
from pathlib import Path

import pytest
from course_site.glossary import search_words
from course_site.names import all_names, also_called
from course_site.search import plain, sections
from docutils import nodes
from docutils.utils import new_document
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from lib.chapter.book import chapters

NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": "# A chapter\n\nWords of the top.\n\n$$\\forall x$$"},
        {
            "cell_type": "code",
            "metadata": {"tags": ["hide-input"]},
            "execution_count": 1,
            "source": "#@title Check of (1)\nfolded = 1",
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "printed\n"}],
        },
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": "## How $\\sqrt\\kappa$ grows\n\nIt grows with $\\kappa$, 学习率.",
        },
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 2,
            "source": "import numpy\nfrom math import pi\ngrowth = pi",
            "outputs": [],
        },
    ],
    "metadata": {"language_info": {"name": "python"}},
    "nbformat": 4,
    "nbformat_minor": 4,
}


@pytest.fixture
def index(tmp_path):
    """Build a site of one chapter and two pages, one of them not searched; returns the index that the browser gets."""
    (tmp_path / "rope.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    (tmp_path / "index.md").write_text("# Home\n\nWelcome.\n\n```{toctree}\nrope\nlist\n```", encoding="utf-8")
    (tmp_path / "list.md").write_text("---\nnosearch: true\n---\n\n# Every claim\n\nA list.", encoding="utf-8")
    (tmp_path / "_toc.yml").write_text("{root: index}", encoding="utf-8")

    def build() -> dict:
        options = {"extensions": ["myst_nb", "course_site"], "nb_execution_mode": "off"}
        options |= {"myst_enable_extensions": ["dollarmath"], "exclude_patterns": ["_build"]}
        out = tmp_path / "_build"
        with docutils_namespace():  # leaves no trace of this build for the next one
            Sphinx(tmp_path, None, out, out / ".doctrees", "html", options, status=None, warning=io.StringIO()).build()
        text = (out / "searchindex.js").read_text(encoding="utf-8")
        return json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))

    return build


def page_of(index: dict, url: str) -> dict:
    (page,) = [page for page in index["pages"] if page["url"] == url]
    return page


def test_index_holds_the_sections_of_a_chapter_and_its_names(index):
    page = page_of(index(), "rope.html")
    (top, second) = page["sections"]
    assert page["chapter"] and page["names"] == [*all_names()["rope"].also, all_names()["rope"].zh]
    assert top == ["", "A chapter", "Words of the top."]
    assert second[1:] == ["How √κ grows", "It grows with κ, 学习率. growth = pi"] and second[0]


def test_a_page_with_nosearch_is_not_in_the_index(index):
    assert [page["url"] for page in index()["pages"]] == ["index.html", "rope.html"]


def test_index_is_whole_after_a_second_build_that_reads_one_page(index, tmp_path):
    first = index()
    (tmp_path / "index.md").write_text("# Home\n\nGood evening.\n\n```{toctree}\nrope\nlist\n```", encoding="utf-8")
    second = index()
    assert page_of(second, "index.html")["sections"][0][2].startswith("Good evening.")
    assert page_of(second, "rope.html") == page_of(first, "rope.html")


def test_only_the_search_page_loads_the_index(index, tmp_path):
    index()
    assert "searchindex.js" in Path(tmp_path, "_build", "search.html").read_text(encoding="utf-8")
    for page in ("rope", "index"):
        text = Path(tmp_path, "_build", f"{page}.html").read_text(encoding="utf-8")
        assert not any(script in text for script in ("searchindex.js", "searchtools.js", "language_data.js"))
        assert "</head>" in text


@pytest.mark.parametrize(
    "tex, words",
    [
        (r"\sqrt\kappa", "√κ"),
        (r"L_{\text{simple}}", "L_simple"),
        (r"\mathbb R", "R"),
        (r"a\le b", "a≤ b"),
        (r"\log n", "log n"),
        (r"k_1,\dots", "k_1,…"),
        (r"a\,b\;c", "abc"),
    ],
)
def test_formulas_are_read_without_commands(tex, words):
    assert plain(tex) == words


def test_raw_html_and_system_messages_are_not_words():
    document = new_document("")
    section = nodes.section("", nodes.title("", "One"), nodes.paragraph("", "text"), ids=["one"])
    section += [nodes.raw("", "<b>raw</b>", format="html"), nodes.system_message("", nodes.paragraph("", "noise"))]
    document += section
    assert sections(document) == [("", "One", "text")]


def test_every_chapter_has_its_chinese_name_and_others():
    missing = [chapter.slug for chapter in chapters() if chapter.slug not in all_names()]
    assert missing == [], "give zh and also in book/syllabus.yml"
    names = [name for entry in all_names().values() for name in (*entry.also, entry.zh)]
    assert len(names) == len(set(names))


def test_half_of_the_names_is_refused(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "syllabus.yml").write_text("[{part: p, chapters: [{slug: one, also: [first]}]}]", encoding="utf-8")
    with pytest.raises(ValueError, match="one: expected zh .* beside also"):
        all_names(tmp_path)


def test_card_names_the_language_of_the_chinese_name():
    (row,) = also_called("rope")
    assert row.astext().startswith("Also called") and "RoFormer" in row.astext()
    (chinese,) = row.findall(nodes.inline)
    assert chinese.astext() == all_names()["rope"].zh and chinese["classes"] == ["language-zh"]
    assert also_called("no-such-chapter") == []


def test_terms_lead_from_chinese_to_english():
    terms = search_words()
    assert [term for term, words in terms.items() if term.isascii()] == []
    assert terms["共轭方向"] == "conjugate directions" and terms["指数分布"] == "exponential distribution"


def test_a_name_of_something_hidden_is_not_searched():
    """A chapter's card names how to cite it and how to report an error; neither is what a reader looks for."""
    document = new_document("chapter.ipynb")
    names = nodes.definition_list()
    for name, said in (("Sources", nodes.paragraph("", "Su 2021")), ("Cite this chapter", nodes.raw("", "<pre></pre>"))):
        names += nodes.definition_list_item("", nodes.term("", name), nodes.definition("", said))
    document += nodes.section("", nodes.title("", "RoPE"), names, ids=["rope"])
    assert sections(document) == [("", "RoPE", "Sources Su 2021")]
