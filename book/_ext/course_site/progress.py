"""Ticks for chapters read and solved: `progress.js` keeps them in the reader's browser and shows them."""

from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class ProgressTools(SphinxDirective):
    """`{progress}`: where the script puts what a reader has ticked and the buttons to export, import and clear it."""

    def run(self):
        without = "<p>Ticks need scripts, and those are off in this browser. All else works.</p>"
        return [nodes.raw("", f'<div class="progress-tools">{without}</div>', format="html")]


def name_chapter(app, pagename, templatename, context, doctree):
    """A chapter's page says which chapter it is; every page can show ticks in its sidebar."""
    if doctree is not None and app.env.doc2path(pagename).endswith(".ipynb"):
        context["metatags"] = f'{context.get("metatags", "")}<meta name="chapter" content="{Path(pagename).name}">\n'


def add_style_and_script(app):
    app.add_css_file("progress.css")
    app.add_js_file("progress.js", loading_method="defer")


def setup(app):
    app.connect("builder-inited", add_style_and_script)
    app.connect("html-page-context", name_chapter)
