"""The pages that are gathered from the chapters, and what a published copy of the site adds."""

import ast
import io
import re
from pathlib import Path

import pytest
import yaml
from course_site import api, descriptions, published
from course_site.exercises import hours
from course_site.glossary import glossary, search_words
from course_site.quotes import beginning, with_links_of
from course_site.sources import all_sources, named, normal
from docutils import nodes
from docutils.utils import new_document
from myst_parser.mdit_to_docutils.base import default_slugify
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from lib.chapter.addresses import Addresses
from lib.chapter.anchors import equation_anchor
from lib.chapter.book import ROOT, chapters, pages, syllabus
from lib.chapter.notebook import Chapter

HEADING = re.compile(r"^#{1,4} (.+)$", re.M)


@pytest.fixture(scope="module")
def book() -> dict[str, Chapter]:
    return {chapter.slug: chapter for chapter in chapters()}


def test_links_of_a_quoted_text_lead_where_they_led():
    text = "[here](#why), [there](rope.ipynb#a), [up](../learning/adam.ipynb), [out](https://a.org/b), `f[i](x)`"
    moved = with_links_of(text, Path("/r/book/attention/gau.ipynb"), Path("/r/book"))
    assert moved == (
        "[here](attention/gau.ipynb#why), [there](attention/rope.ipynb#a), [up](learning/adam.ipynb), "
        "[out](https://a.org/b), `f[i](x)`"
    )


@pytest.mark.parametrize(
    "text, least, says",
    [
        ("One. Two. Three.", 1, "One."),
        ("One. Two. Three.", 5, "One. Two."),
        ("By $a. B$ it is so. More.", 1, "By $a. B$ it is so."),
        ("Said (once. Or twice) and again. More.", 1, "Said (once. Or twice) and again."),
        ("Kingma et al. 2014 say so. More.", 1, "Kingma et al. 2014 say so."),
        ('He calls it "the only." That is dated.', 1, 'He calls it "the only."'),
        ("No end", 1, "No end"),
    ],
)
def test_the_beginning_of_a_text_is_whole_sentences(text, least, says):
    assert beginning(text, least) == says


def test_every_correction_is_read(book):
    for chapter in book.values():
        typed = chapter.prose().count("> **Correction.**")
        assert [correction.number for correction in chapter.corrections] == list(range(1, typed + 1))
        assert not any(line.startswith(">") for c in chapter.corrections for line in c.text.splitlines())


def test_every_digest_has_a_chinese_name():
    names = [entry.get("zh", "") for part in syllabus() for entry in part["chapters"]]
    assert len(set(names)) == 47 and "" not in names


def test_every_term_is_defined_where_the_glossary_says(book):
    wrong = []
    for term in glossary():
        slug, _, address = term.at.partition("#")
        headings = {default_slugify(heading) for heading in HEADING.findall(book[slug].prose())}
        equations = {equation_anchor(equation.tag) for equation in book[slug].equations if equation.tag}
        if address not in headings | equations:
            wrong.append(f"{term.term}: {term.at}")
    assert wrong == [], "book/terms.yml: `at` must be a chapter's slug with the address of a heading or an equation"


def test_glossary_is_in_order_and_names_each_thing_once(book):
    typed = yaml.safe_load((ROOT / "book" / "terms.yml").read_text(encoding="utf-8"))
    names = [entry["term"].casefold() for entry in typed["glossary"]]
    assert names == sorted(set(names)) and len(names) >= 100
    chinese = [entry["zh"] for entry in typed["glossary"]] + list(typed["search"])
    assert len(chinese) == len(set(chinese)), "a Chinese word is either a term's or one for search alone"
    assert {term.at.partition("#")[0] for term in glossary()} == set(book), "every chapter defines a term"


def test_search_knows_the_terms():
    words = search_words()
    assert words["旋转位置编码"] == "rotary position embedding" and words["学习率"] == "learning rate"
    assert "YaRN" not in words  # the field's Chinese texts use the English name, which needs no help


def test_one_source_has_one_address():
    for address in ("pdf/1706.03762v5", "abs/1706.03762v1", "pdf/1706.03762.pdf"):
        assert normal(f"https://arxiv.org/{address}") == "https://arxiv.org/abs/1706.03762"
    assert normal("https://spaces.ac.cn/archives/8620") == "https://kexue.fm/archives/8620"


def test_names_of_sources():
    row = "Zhao, [Foundations](https://a.org/1), chapter 6; [A 2017](https://a.org/2), [B](https://doi.org/10.1/S0(05)8-1)"
    assert named(row) == [
        ("Zhao, Foundations", "https://a.org/1"),
        ("A 2017", "https://a.org/2"),
        ("B", "https://doi.org/10.1/S0(05)8-1"),
    ]


def test_every_source_is_listed_once_with_its_chapters(book):
    sources = all_sources(list(book.values()))
    assert len({source.address for source in sources}) == len(sources)
    raffel = next(source for source in sources if source.address.endswith("1910.10683"))
    assert {chapter.slug for chapter in raffel.chapters} == {"init-param-norm", "position-encodings"}
    assert [source.order for source in sources] == sorted(source.order for source in sources)


def test_hours():
    assert [hours(1), hours(95), hours(150)] == ["1 minute", "95 minutes", "2 hours"]


def test_lib_is_read_without_being_imported(tmp_path):
    module = tmp_path / "lib" / "part" / "one.py"
    module.parent.mkdir(parents=True)
    function = 'def f(x: int = 1) -> int:\n    """Says."""\n    return x'
    module.write_text(f'"""A module."""\n\n\n@checked\n{function}\n\n\ndef _g():\n    pass\n', encoding="utf-8")
    docstring, (entry,) = api.read_module(module, tmp_path)
    assert docstring == "A module." and entry.anchor == "lib.part.one.f" and entry.docstring == "Says."
    assert entry.signature == "def f(x: int=1) -> int:"
    assert entry.source.startswith("@checked\ndef f") and entry.source.endswith("return x")


def test_a_class_shows_its_fields_and_public_methods():
    code = "class A(B):\n n: int = 2\n def __init__(self, x): pass\n def _p(self): pass\n def q(self) -> int: return 1"
    says = api.signature(ast.parse(code).body[0])
    assert says == "class A(B):\n    n: int = 2\n    def __init__(self, x):\n    def q(self) -> int:"


def test_every_package_of_lib_has_a_page():
    packages = {path.parent.name for path in (ROOT / "lib").glob("*/__init__.py")} - {"chapter"}
    assert {f"{api.PAGES}/{package}" for package in packages} <= set(pages())


def test_chapters_that_use_a_function_are_found(book):
    assert "lib.sequence.position.apply_rope" in api.imported(book["rope"])
    assert "lib.sequence.position.apply_rope" not in api.imported(book["ddpm"])


def test_description_is_the_first_sentence_of_the_text():
    document = new_document("")
    card = nodes.container("", nodes.paragraph("", "Not this."))
    text = nodes.Text("Why does " + "it " * 30 + "fall? No.")
    document += nodes.section("", nodes.title("", "T"), card, nodes.paragraph("", "", text))
    assert descriptions.description(document) == "Why does " + "it " * 30 + "fall?"
    text.parent[0] = nodes.Text("Find the lowest point of")
    assert descriptions.description(document) == "Find the lowest point of …"
    assert descriptions.description(new_document("")) == ""


def test_only_a_published_copy_shows_a_card():
    without = descriptions.tags("A & B", "Says.", "a.html", "")
    assert '<meta property="og:title" content="A &amp; B">' in without
    assert "og:image" not in without and "http" not in without
    published_copy = descriptions.tags("A", "Says.", "a.html", "https://me.github.io/course")
    assert 'content="https://me.github.io/course/_static/card.png"' in published_copy
    assert 'content="https://me.github.io/course/a.html"' in published_copy


def test_card_is_small_and_has_the_size_that_other_sites_expect():
    card = ROOT / "book" / "_ext" / "static" / descriptions.CARD
    assert Image.open(card).size == (1200, 630) and card.stat().st_size < 60_000


def test_sitemap():
    text = published.sitemap(["book/a.html", "book/b&c.html"], "https://me.org")
    assert text.count("<url>") == 2 and "<loc>https://me.org/book/b&amp;c.html</loc>" in text


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Build a site of one page for a repository's address; returns its folder."""

    def build(repository: str) -> Path:
        for module in (published, descriptions):
            monkeypatch.setattr(module, "addresses", lambda: Addresses(repository, "main"))
        (tmp_path / "_toc.yml").write_text("{root: index}", encoding="utf-8")
        (tmp_path / "index.md").write_text("# Home\n\nWelcome.", encoding="utf-8")
        options, out = {"extensions": ["myst_nb", "course_site"], "nb_execution_mode": "off"}, tmp_path / "_build"
        with docutils_namespace():
            site = Sphinx(tmp_path, None, out, out / ".doctrees", "html", options, status=None, warning=io.StringIO())
            site.build(force_all=True)
        return out

    return build


def test_a_published_copy_has_a_sitemap_and_absolute_links(build):
    out = build("https://github.com/Me/course")
    assert "<loc>https://me.github.io/course/index.html</loc>" in (out / "sitemap.xml").read_text(encoding="utf-8")
    lost = (out / "404.html").read_text(encoding="utf-8")
    assert 'href="https://me.github.io/course/index.html"' in lost
    assert 'action="https://me.github.io/course/search.html"' in lost
    assert 'content="https://me.github.io/course/_static/card.png"' in (out / "index.html").read_text(encoding="utf-8")


def test_a_copy_that_is_no_longer_published_has_none(build):
    build("https://github.com/Me/course")
    out = build("")
    assert not (out / "sitemap.xml").exists()
    lost, home = [(out / name).read_text(encoding="utf-8") for name in ("404.html", "index.html")]
    assert 'href="index.html"' in lost and "https://" not in lost
    assert '<meta name="description" content="Welcome.">' in home and "og:image" not in home
