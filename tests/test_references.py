"""References to equations: which numbers become links, and where they lead; the page of every claim."""

import io
import json
import re
from pathlib import Path

import pytest
from course_site.claims import claim_anchor, filters
from course_site.references import is_list, is_of_a_source
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from lib.chapter.notebook import Chapter

HEADER = """# {title}

> **Source note.** It says something.

- **Question:** What is it?
- **Sources:** none
- **You will be able to:** do it (exercise 1)
- **Needs:** nothing
- **Time:** 45 minutes to work"""
EQUATIONS = "$$a = b \\tag{1}$$\n\n$$b = c \\tag{2}$$\n\n$$c := d \\tag{D1}$$"
METADATA = {"course": {"digest": "04"}, "language_info": {"name": "python"}}


def write_chapter(folder: Path, name: str, title: str, text: str):
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": HEADER.format(title=title)},
        {"cell_type": "markdown", "id": "b", "metadata": {}, "source": f"{EQUATIONS}\n\n{text}"},
        {
            "cell_type": "code",
            "id": "c",
            "metadata": {"tags": ["hide-input"]},
            "execution_count": 1,
            "source": "#@title Check of (1) and (2)\n1",
            "outputs": [
                {
                    "output_type": "stream",
                    "name": "stdout",
                    "text": "✓ (1) exact · 0 · a is b · rejects: c\n✓ (2) bound · 0 · b is c · rejects: d\n",
                }
            ],
        },
    ]
    notebook = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


@pytest.fixture
def build(tmp_path):
    """Build two chapters, the first with a given text, and the page of every claim; returns the folder of HTML."""

    def build(text: str) -> Path:
        folder = tmp_path / "book" / "part"
        folder.mkdir(parents=True)
        write_chapter(folder, "one", "The first chapter", text)
        write_chapter(folder, "two", "RoPE: rotary positions", "")
        (tmp_path / "_toc.yml").write_text(
            "{root: index, parts: [{chapters: [{file: book/part/one}, {file: book/part/two}]}]}", encoding="utf-8"
        )
        toctree = "```{toctree}\nbook/part/one\nbook/part/two\n```"
        (tmp_path / "index.md").write_text(f"# All\n\n{toctree}\n\n```{{claims}}\n```", encoding="utf-8")
        warnings, options = io.StringIO(), {"extensions": ["myst_nb", "course_site"], "nb_execution_mode": "off"}
        options |= {"myst_enable_extensions": ["dollarmath"], "exclude_patterns": ["_build"]}
        out = tmp_path / "_build"
        with docutils_namespace():  # or a later build in this process would warn of everything that it registers
            Sphinx(tmp_path, None, out, out / ".doctrees", "html", options, status=None, warning=warnings).build()
        assert warnings.getvalue() == ""
        return out

    return build


def links(page: str) -> list[str]:
    """The addresses of all links to equations on a page, without its ticks and numbers, in order."""
    page = re.sub(r'<p class="equation-number">.*?</p>', "", page)
    return [piece.partition('"')[0] for piece in page.split('href="')[1:] if "#eq-" in piece.partition('"')[0]]


@pytest.mark.parametrize(
    "text, leads_to",
    [
        ("By (1) and (D1).", ["#eq-1", "#eq-D1"]),
        ("The law (1)'s form, [(1), (2)–(D1)] ((2) again).", ["#eq-1", "#eq-1", "#eq-2", "#eq-D1", "#eq-2"]),
        ("As F1 says (2), and **so (1)**.", ["#eq-2", "#eq-1"]),
        ("- a point (1)\n\n| a |\n|---|\n| by (2) |", ["#eq-1", "#eq-2"]),
        ("No equation is (3) or (D2).", []),
        ("## A title of (1)\n\n`(1)`, [a link (2)](https://example.org), $x (1)$ and $f$(2), TD(1), a(2).", []),
        ("1. First\n2. second (1)", ["#eq-1"]),
        ("There are two: (1) the first, and (2) the second.", []),
        ("(1) one way; (2) another.", []),
        ("Theorem (1), exercise (2), *Journal* 5 (2), the paper's (1), (2) of their paper.", []),
        ("(1) and (2) of [somebody](https://example.org), (1) in *Some Book*.", []),
        ("**Where the numbers come from.** Equations (1) and, with that, (2); ours is (1).", ["#eq-1"]),
        ("(1) is [RoPE](two.ipynb) without (2).", ["#eq-1", "#eq-2"]),
        ("Claims (1) and (2) of [RoPE](two.ipynb).", ["two.html#eq-1", "two.html#eq-2"]),
        ("Claim (2) of *RoPE*, (1) here.", ["two.html#eq-2", "#eq-1"]),
        ("[RoPE](two.ipynb)'s (1); claim (9) of *RoPE*.", ["two.html#eq-1"]),
    ],
)
def test_references_in_a_text(build, text, leads_to):
    page = (build(text) / "book/part/one.html").read_text(encoding="utf-8")
    assert links(page) == leads_to


def test_scripts_are_on_the_pages_that_need_them(build):
    out = build("By (1).")
    one, two, overview = [
        (out / name).read_text(encoding="utf-8") for name in ("book/part/one.html", "book/part/two.html", "index.html")
    ]
    for name, page in [("references", one), ("claims", overview)]:
        for file in (f"{name}.js", f"{name}.css"):
            assert file in page
            assert not any(file in other for other in (one, two, overview) if other is not page)


def test_every_claim_has_a_fold_for_each_chapter_and_an_address(build):
    page = (build("") / "index.html").read_text(encoding="utf-8")
    assert page.count('<details class="claims"') == 2
    assert "The first chapter" in page and "2 claims, 2 checks" in page
    assert 'class="claims-of-part" id="claims-of-part"' in page
    assert 'id="claim-one-1"' in page and 'id="claim-two-2"' in page
    assert '<option value="bound">bound</option>' in page and '<option value="claims-of-part">part</option>' in page


def test_filters_escape_their_texts():
    assert '<option value="claims-of-a">a &amp; b</option>' in filters([], {"a": "a & b"})


def test_claim_anchor_names_chapter_and_number(tmp_path):
    write_chapter(tmp_path, "one", "A title", "")
    assert claim_anchor(Chapter(tmp_path / "one.ipynb"), 7) == "claim-one-7"


def test_lists_and_sources_are_told_from_references():
    assert is_list("(1) the first, (2) the second")
    assert not is_list("(1) and (2) are the case") and not is_list("the law (1), and the rest (2) follows")
    assert is_of_a_source("Su's ", "", "") and is_of_a_source("", " and (3) of the original paper", "")
    assert not is_of_a_source("the best step ", " along the line", "")
