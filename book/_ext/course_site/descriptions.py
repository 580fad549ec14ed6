"""What other sites and search engines show of a page: its first sentence and, in a published copy, the book's card."""

from html import escape

from docutils import nodes

from lib.chapter.addresses import addresses

from .pages import PageCollector
from .quotes import beginning
from .search import words

LEAST, MOST = 70, 200  # characters
ENDS = (".", "!", "?", ".”", "?”")
CARD = "card.png"
CARD_SAYS = "Executable Derivations: a numbered equation, its tick, and the mistakes that its check rejects."


def description(document: nodes.document) -> str:
    """The first sentences of the page's own text; dots stand for a displayed formula that would end them."""
    for paragraph in document.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            text = beginning(" ".join(words(paragraph).split()), LEAST)
            if len(text) > MOST:
                text = text[:MOST].rpartition(" ")[0]
            return text if text.endswith(ENDS) else f"{text} …"
    return ""


def tags(title: str, says: str, page: str, site: str) -> str:
    """The elements of the page's head; addresses of page and card must be absolute, so they need that of the site."""
    named = [("description", says)] if says else []
    properties = [("og:title", title), ("og:description", says), ("og:type", "article")]
    if site:
        properties += [("og:url", f"{site}/{page}"), ("og:image", f"{site}/_static/{CARD}")]
        properties += [("og:image:alt", CARD_SAYS)]
    return "".join(
        [f'<meta name="{name}" content="{escape(value)}">\n' for name, value in named]
        + [f'<meta property="{name}" content="{escape(value)}">\n' for name, value in properties if value]
    )


class Descriptions(PageCollector):
    """Keeps the description of every page between builds."""

    attribute = "course_descriptions"

    def process_doc(self, app, doctree):
        self.kept(app.env)[app.env.docname] = description(doctree)


def add_tags(app, pagename, templatename, context, doctree):
    found = Descriptions.kept(app.env)
    if pagename in found:
        title = app.env.titles[pagename].astext()
        context["metatags"] += tags(title, found[pagename], f"{pagename}.html", addresses().site)


def setup(app):
    app.add_env_collector(Descriptions)
    app.connect("html-page-context", add_tags)
