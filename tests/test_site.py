"""The website without a browser: what may be published, a page of every kind, addresses, standalone notebooks."""

import io
import json
import subprocess
import sys
from graphlib import CycleError
from pathlib import Path

import pytest
from course_site.callouts import Callouts
from course_site.claims import checking_cells, tick
from course_site.mathematics import GluePunctuation
from course_site.overviews import needed, steps
from docutils import nodes
from docutils.utils import new_document
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from lib.chapter.addresses import Addresses, addresses
from lib.chapter.book import ROOT, syllabus
from lib.chapter.notebook import Chapter
from lib.chapter.standalone import pack_lib, rewrite_links, set_up_cell, standalone

HEADER = """# A chapter

> **Source note.** It says
> something.

- **Question:** What is it?
- **Sources:** [a paper](https://example.org)
- **You will be able to:** do it
- **Needs:** [another](other.ipynb)
- **Time:** 45 minutes to work"""
EQUATIONS = "$$a = b \\tag{1}$$\n\n$$c := d \\tag{D1}$$\n\n$$e = f$$"
TABLE = """| Library | Function | What it does | What follows |
|---|---|---|---|
| torch 2.13.0 | `relu` | gives 0 at 0 | $f'$ differs |"""
INDEX = "# All\n\n```{toctree}\nbook/part/one\n```\n\n```{production}\n```\n\n```{claims}\n```"
CHECK = "✓ (1) exact · 1e-12 · a is b · rejects: forgot a; wrong sign"
STRAY = "✓ (7) exact · 1e-12 · nothing is numbered 7"


def chapter(
    folder: Path, printed: str = CHECK, header: str = HEADER, name: str = "one", text: str = EQUATIONS
) -> Chapter:
    """A small chapter on disk."""
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": header},
        {"cell_type": "markdown", "id": "b", "metadata": {}, "source": text},
        {
            "cell_type": "code",
            "id": "c",
            "metadata": {"tags": ["hide-input"]},
            "execution_count": 1,
            "source": "#@title Check of (1): an idea\n1",
            "outputs": [{"output_type": "stream", "name": "stdout", "text": printed + "\n"}],
        },
    ]
    metadata = {"course": {"digest": "04"}, "language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return Chapter(path)


def test_an_equation_without_a_check_and_a_check_without_an_equation_are_named(tmp_path):
    assert list(chapter(tmp_path).unproved()) == []
    (missing,) = chapter(tmp_path, printed="nothing").unproved()
    assert "cell 2" in missing and "equation (1) has no check" in missing
    (stray,) = chapter(tmp_path, printed=f"{CHECK}\n{STRAY}").unproved()
    assert "cell 3" in stray and "check (7) has no equation" in stray


@pytest.fixture
def build(tmp_path):
    """Build a site of one chapter and the page of production tables; returns its folder and the warnings."""

    def build(**changes) -> tuple[Path, str]:
        folder = tmp_path / "book" / "part"
        if not folder.exists():
            folder.mkdir(parents=True)
            (tmp_path / "_toc.yml").write_text("{root: index, parts: [{chapters: [{file: book/part/one}]}]}")
            (tmp_path / "book" / "syllabus.yml").write_text("[]")
            (tmp_path / "index.md").write_text(INDEX)
        chapter(folder, **changes)
        warnings, options = io.StringIO(), {"extensions": ["myst_nb", "course_site"], "nb_execution_mode": "off"}
        options |= {"myst_enable_extensions": ["dollarmath"], "exclude_patterns": ["_build", "jupyter_execute"]}
        out = tmp_path / "_build"
        with docutils_namespace():  # or a later build in this process would warn of everything that it registers
            Sphinx(tmp_path, None, out, out / ".doctrees", "html", options, status=None, warning=warnings).build()
        return out, warnings.getvalue()

    return build


def test_a_chapter_becomes_a_page(build):
    header = f"{HEADER}\n\n## In production\n\n{TABLE}".replace("[another](other.ipynb)", "nothing")
    out, warnings = build(header=header)
    page, overview = [(out / name).read_text(encoding="utf-8") for name in ("book/part/one.html", "index.html")]
    assert warnings == ""
    assert '<div class="equation docutils container" id="eq-1">' in page and 'href="#fold-3"' in page and 'id="cell-3"' in page
    assert '<details class="fold check"><summary>Check of (1): an idea</summary>\n<div id="fold-3">' in page
    assert "<li>4 minutes to read</li><li>45 to work</li>" in page and "minutes to work" not in page
    assert 'href="book/part/one.html#eq-1"' in overview and "forgot a; wrong sign" in overview
    assert '<section id="production-torch">' in overview and "<code" in overview and "2.13.0" in overview


def test_a_question_is_a_card_of_its_own_with_its_answer_behind_it(build):
    question = "> **Question.** How much?\n\n<details>\n<summary>Answer</summary>\n\nAll.\n\n</details>"
    header = HEADER.replace("[another](other.ipynb)", "nothing")
    out, _ = build(header=f"{header}\n\n## Why\n\n{question}")
    page, overview = [(out / name).read_text(encoding="utf-8") for name in ("book/part/one.html", "index.html")]
    card, _, rest = page.partition('<div class="callout question admonition">')[2].partition("</div>")
    assert "Question</p>" in card and "How much?" in card
    assert rest.lstrip().startswith("<details>\n<summary>Answer</summary>\n<p>All.</p>")
    assert "questions.css" in page and "questions.css" not in overview


def test_a_list_is_made_again_when_what_it_shows_of_a_chapter_changes(build):
    header = HEADER.replace("[another](other.ipynb)", "nothing")

    def made(**changes) -> int:
        out, warnings = build(**changes)
        assert warnings == ""
        return (out / ".doctrees" / "index.doctree").stat().st_mtime_ns

    first = made(header=header)
    assert made(header=header, text=f"{EQUATIONS}\n\nNo list shows this.") == first
    checked = made(header=header, printed=CHECK.replace("a is b", "b is a"))
    assert checked > first
    assert made(header=header.replace("# A chapter", "# The chapter")) > checked


def test_an_unproved_equation_fails_the_build(build):
    _, warnings = build(printed="nothing", header=HEADER.replace("[another](other.ipynb)", "nothing"))
    assert "one.ipynb: WARNING: cell 2" in warnings and "equation (1) has no check" in warnings


def test_a_header_says_what_it_lacks(tmp_path):
    one = chapter(tmp_path, header=HEADER.replace("Time", "Tme"))
    assert not one.has_header
    with pytest.raises(ValueError, match="the first cell lacks: - .*Time:.* 45 minutes to work"):
        one.header  # noqa: B018


def test_tick_leads_to_the_cell_and_says_what_it_shows(tmp_path):
    one = chapter(tmp_path)
    assert checking_cells(one.checks, "1") == [2]
    assert checking_cells(one.checks, "2") == []
    link = tick(one, "1", 2)
    assert 'href="#fold-3"' in link
    assert 'aria-label="Equation (1) is checked. exact, 1e-12: a is b"' in link


def test_tick_escapes_what_a_check_says(tmp_path):
    one = chapter(tmp_path, printed='✓ (1) exact · 1e-12 · a < b & "c"')
    assert "a &lt; b &amp; &quot;c&quot;" in tick(one, "1", 2)


@pytest.mark.parametrize("phrase, becomes_card", [("Pitfall.", True), ("Own words.", True), ("bold", False)])
def test_bold_phrase_makes_a_callout(phrase, becomes_card):
    document = new_document("")
    paragraph = nodes.paragraph("", "", nodes.Text(""), nodes.strong("", phrase), nodes.Text(" text"))
    document += nodes.block_quote("", paragraph)
    Callouts(document).apply()
    cards = list(document.findall(nodes.admonition))
    assert [card[0].astext() for card in cards] == ([phrase[:-1]] if becomes_card else [])


def test_punctuation_stays_with_its_formula():
    document = new_document("")
    texts = [nodes.Text("see ("), nodes.Text("), then ")]
    document += nodes.paragraph("", "", texts[0], nodes.math("", "x"), texts[1], nodes.math("", "y"))
    GluePunctuation(document).run()
    (box,) = document.findall(nodes.inline)
    assert box.astext() == "(x),"
    assert document.astext() == "see (x), then y"


def test_punctuation_goes_to_its_own_formula_when_a_paragraph_repeats_itself():
    document = new_document("")
    paragraph = nodes.paragraph("", "", nodes.Text(", "), nodes.math("", "x"), nodes.Text(", "), nodes.math("", "y"))
    document += paragraph
    GluePunctuation(document).run()
    assert [box.astext() for box in document.findall(nodes.inline)] == ["x,"]
    assert document.astext() == ", x, y"


def test_addresses_follow_from_the_repository():
    where = Addresses("https://github.com/Someone/course", "main")
    assert where.site == "https://someone.github.io/course"
    assert where.issues == "https://github.com/Someone/course/issues"
    assert where.source("book/a.ipynb") == "https://github.com/Someone/course/blob/main/book/a.ipynb"
    assert where.colab("a").endswith("/github/Someone/course/blob/gh-pages/standalone/a.ipynb")
    assert Addresses("https://github.com/me/me.github.io", "main").site == "https://me.github.io"


def test_no_repository_gives_no_addresses():
    where = Addresses("", "main")
    assert (where.site, where.issues, where.source("a"), where.colab("a")) == ("", "", "", "")


def test_configuration_is_read(tmp_path):
    (tmp_path / "_config.yml").write_text("repository: {url: https://github.com/a/b.git/, branch: x}", encoding="utf-8")
    assert addresses(tmp_path) == Addresses("https://github.com/a/b", "x")


def test_learning_map_orders_by_needs(tmp_path):
    one = chapter(tmp_path, header=HEADER.replace("[another](other.ipynb)", "nothing"))
    two = chapter(tmp_path, header=HEADER.replace("other.ipynb", "one.ipynb#why"), name="two")
    assert needed(one, [one, two]) == []
    assert needed(two, [one, two]) == [one]
    assert steps({"a": set(), "b": {"a"}, "c": {"a", "b"}}) == {"a": 0, "b": 1, "c": 2}
    with pytest.raises(CycleError):
        steps({"a": {"b"}, "b": {"a"}})


def test_syllabus_plans_47_digests():
    planned = [entry["digest"] for part in syllabus() for entry in part["chapters"]]
    assert sorted(planned) == [f"{number:02d}" for number in range(47)]


def test_links_of_a_standalone_notebook():
    folder = ROOT / "book" / "attention"
    links = "[CG](../foundations/cg.ipynb#why), [words](../glossary.md), [code](../../lib/a.py), [a](https://b.org)"
    text = f"{links}, `f[i](x)`"
    there = rewrite_links(text, folder, "https://site")
    pages = "[CG](https://site/book/foundations/cg.html#why), [words](https://site/book/glossary.html)"
    assert there == f"{pages}, code, [a](https://b.org), `f[i](x)`"
    assert rewrite_links(text, folder, "") == "CG, words, code, [a](https://b.org), `f[i](x)`"


def test_standalone_notebook_keeps_outputs_and_adds_one_folded_cell(tmp_path):
    one = chapter(tmp_path, header=HEADER.replace("[another](other.ipynb)", "nothing"))
    notebook = standalone(one.path)
    assert notebook["cells"][0] == set_up_cell()
    assert notebook["cells"][3]["outputs"] == one.cells[2]["outputs"]
    assert pack_lib() == pack_lib()


def test_set_up_cell_makes_lib_importable_elsewhere(tmp_path):
    """In an empty folder, with Python's isolated mode, so that nothing but the cell can provide `lib`."""
    script = tmp_path / "cell.py"
    code = "".join(set_up_cell()["source"]) + "\nimport lib.course\nprint(lib.course.__file__)"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(ROOT) not in done.stdout
