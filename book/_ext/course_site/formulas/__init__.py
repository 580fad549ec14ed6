"""Formulas are typeset when the site is built: a page carries its formulas as drawings made of a font's letters.

MathJax does the typesetting, in node; what it made of a formula is kept by the formula's text, so that the next build
does not ask again. Beside each drawing, which screen readers leave out, stands its MathML, which nobody sees. Where node
cannot run, pages load MathJax's script instead.
"""

import hashlib
from importlib import metadata
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

from ..pages import add_files_where
from .font import style_sheet
from .markup import drawing, typed
from .mathml import lean
from .typesetter import MATHJAX, Typesetter, node_runs

LOGGER = logging.getLogger(__name__)
NAME = "typeset"
FONT = "formula-font.css"


def fingerprint() -> str:
    """What the typeset formulas depend on beside their text."""
    made = hashlib.sha256(metadata.version(MATHJAX).encode())
    for file in sorted(Path(__file__).parent.glob("*.*js")) + sorted(Path(__file__).parent.glob("*.py")):
        made.update(file.read_bytes())
    return made.hexdigest()


def html_of(translator, node: nodes.Element, display: bool) -> str:
    """A formula as it stands on a page."""
    typeset = translator.builder.app.formulas.typeset(node.astext(), display)
    if typeset["error"]:
        LOGGER.warning("MathJax: %s in %r", typeset["error"], node.astext(), location=node, type="course")
    return drawing(typeset, breakable=not display) + lean(typeset["mathml"])


def visit_math(translator, node):
    translator.body.append(f'<span class="math"{typed(node.astext())}>{html_of(translator, node, display=False)}</span>')
    raise nodes.SkipNode


def visit_displayed_math(translator, node):
    translator.body.append(f'<div class="math"{typed(node.astext())}>{html_of(translator, node, display=True)}</div>\n')
    raise nodes.SkipNode


def choose_renderer(app, config):
    runs = node_runs()
    config.html_math_renderer = NAME if runs else "mathjax"  # of two, Sphinx would take the one that is not its own
    if not runs:
        LOGGER.info("node cannot run here, so pages load MathJax's script: formulas show later, and pages are heavier")


def start(app):
    app.formulas = Typesetter(Path(app.doctreedir).parent / "formulas.json", fingerprint())


def finish(app, exception):
    app.formulas.close()
    if exception is None and app.builder.format == "html" and app.config.html_math_renderer == NAME:
        Path(app.outdir, "_static", FONT).write_text(style_sheet(app.formulas.shapes), encoding="utf-8")


def setup(app):
    app.add_html_math_renderer(NAME, (visit_math, None), (visit_displayed_math, None))
    app.connect("config-inited", choose_renderer)
    app.connect("builder-inited", start)
    app.connect("build-finished", finish)
    add_files_where(app, '<svg class="formula"', FONT, "formulas.css", "formulas.js")
