"""Block quotes that begin with a bold phrase, such as `> **Pitfall.** …`, become cards."""

from docutils import nodes
from sphinx.transforms import SphinxTransform


from .pages import add_files_where
from lib.chapter.anchors import correction_anchor

LOOKS = {
    "Pitfall": "warning",
    "Correction": "danger",
    "Cost": "tip",
    "Source note": "seealso",
    "Question": "question",
}


def bold_phrase(quote: nodes.block_quote) -> nodes.strong | None:
    """The bold phrase, ending in a full stop, with which a call-out begins."""
    paragraph = quote.children[0] if quote.children else None
    if not isinstance(paragraph, nodes.paragraph):
        return None
    first = next((child for child in paragraph.children if child.astext()), None)
    return first if isinstance(first, nodes.strong) and first.astext().endswith(".") else None


class Callouts(SphinxTransform):
    def apply(self):
        corrections = 0
        for quote in list(self.document.findall(nodes.block_quote)):
            phrase = bold_phrase(quote)
            if phrase is None:
                continue
            phrase.parent.remove(phrase)
            title = phrase.astext().removesuffix(".")
            look = LOOKS.get(title, "note")
            body = [child for child in quote.children if child.astext().strip()]
            card = nodes.admonition("", nodes.title("", title), *body, classes=["callout", look])
            if title == "Correction":
                corrections += 1
                card["ids"].append(correction_anchor(corrections))
            quote.replace_self(card)


def setup(app):
    add_files_where(app, "callout question", "questions.css")
