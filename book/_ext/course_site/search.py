"""Search: the texts of every section of the book, which `searchtools.js` ranks in the reader's browser.

Sphinx's own index knows words by page: it opens no section, ranks by title alone and cannot split Chinese. Here the
index is the sections' texts themselves, so that a hit opens at its section and shows its words without another request.
"""

import json
import re
from html.entities import html5
from pathlib import Path
from unicodedata import category

from docutils import nodes
from sphinx.builders.html import StandaloneHTMLBuilder

from .glossary import path_of_terms, search_words
from .names import all_names
from .pages import PageCollector

_COMMAND = re.compile(r"\\([A-Za-z]+)")
_IMPORT = re.compile(r"^\s*(?:import|from) .*$|^#@title.*$", re.M)
_WORDS = {name: name for name in ("log", "exp", "sin", "cos", "max", "min")}
_WORDS |= {"sqrt": "√", "top": "ᵀ", "to": "→", "dots": "…"}


def plain(tex: str) -> str:
    r"""A formula as words and symbols: `\sqrt\kappa` is √κ; commands that name no symbol go."""
    return re.sub(r"\\[^A-Za-z]|[\\{}$]|  +", "", _COMMAND.sub(symbol, tex)).strip()


def symbol(command: re.Match) -> str:
    """HTML calls letters and relations as TeX does."""
    name = command[1]
    sign = html5.get(f"{name};", "")
    return _WORDS.get(name) or (sign if len(sign) == 1 and category(sign) in ("Ll", "Lu", "Sm") else "")


def is_hidden(node: nodes.Node) -> bool:
    """What a reader does not look for: displays, raw HTML, folded code, and what code printed."""
    if isinstance(node, (nodes.math_block, nodes.raw, nodes.comment, nodes.system_message)):
        return True
    if not isinstance(node, nodes.container):
        return False
    is_folded = any(mode in str(node.get("hide_mode")) for mode in ("input", "all"))
    return is_folded or node.get("nb_element") == "cell_code_output"


def words(node: nodes.Node) -> str:
    """The text of a node without what is hidden and without the sections in it."""
    is_heading = isinstance(node, nodes.title) and isinstance(node.parent, nodes.section)
    if is_heading or isinstance(node, nodes.section) or is_hidden(node):
        return ""
    if isinstance(node, nodes.definition_list_item) and not words(node[-1]).strip():
        return ""  # the name of something hidden
    if isinstance(node, nodes.math):
        return plain(node.astext())
    if isinstance(node, nodes.literal_block):
        return _IMPORT.sub("", node.astext())
    if isinstance(node, nodes.Text):
        return node.astext()
    between = "" if isinstance(node, nodes.TextElement) else " "
    return between.join(words(child) for child in node.children)


def heading(section: nodes.section) -> str:
    """A section's title, its formulas as words."""
    title = section.next_node(nodes.title)
    texts = [plain(part.astext()) if isinstance(part, nodes.math) else part.astext() for part in title.children]
    return "".join(texts)


def sections(document: nodes.document) -> list[tuple[str, str, str]]:
    """Address within the page, title and text of every section; the first one's address is "", the top of the page."""
    found = []
    for section in document.findall(nodes.section):
        text = " ".join(" ".join(words(child) for child in section.children).split())
        found.append((section["ids"][0] if found else "", heading(section), text))
    return found


class Sections(PageCollector):
    """Keeps the sections of every page between builds; a page with `nosearch: true` in its front matter has none."""

    attribute = "course_sections"

    def process_doc(self, app, doctree):
        if app.env.docname == app.config.root_doc:
            app.env.note_dependency(str(path_of_terms()))  # a changed term is a reason to write the index again
        if "nosearch" not in app.env.metadata[app.env.docname]:
            self.kept(app.env)[app.env.docname] = sections(doctree)


def index(env) -> dict:
    """What the browser gets: pages with their names and sections, and the Chinese words with their English ones."""
    pages = []
    for docname, found in sorted(Sections.kept(env).items()):
        names = all_names().get(Path(docname).name)
        page = {"url": f"{docname}.html", "chapter": env.doc2path(docname).endswith(".ipynb")}
        pages.append(page | {"names": [*names.also, names.zh] if names else [], "sections": found})
    return {"pages": pages, "terms": search_words()}


class CourseBuilder(StandaloneHTMLBuilder):
    """Sphinx's HTML builder with the book's index in place of Sphinx's own."""

    def get_outdated_docs(self):
        """All pages when no formula is kept: else the font would have the letters of the pages alone that are written now."""
        return self.env.found_docs if self.app.formulas.begins else super().get_outdated_docs()

    def load_indexer(self, docnames):
        """Nothing to load: the environment keeps the sections."""

    def index_page(self, pagename, doctree, title):
        """Nothing to collect: `Sections` did when the page was read."""

    def dump_search_index(self):
        text = json.dumps(index(self.env), ensure_ascii=False, separators=(",", ":"))
        Path(self.outdir, self.searchindex_filename).write_text(f"Search.setIndex({text})", encoding="utf-8")


def add_template(app, config):
    config.templates_path.append(str(Path(__file__).parents[1] / "templates"))


def add_style(app, pagename, templatename, context, doctree):
    if pagename == "search":
        app.add_css_file("search.css")


def setup(app):
    app.connect("config-inited", add_template)
    app.connect("html-page-context", add_style)
    app.add_env_collector(Sections)
    app.add_builder(CourseBuilder, override=True)
