"""Formulas within a line keep their punctuation: MathJax lets a line break between `$x$` and the bracket after it."""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

_OPENING = re.compile(r"[(\[“‘]+$")
_CLOSING = re.compile(r"^[)\]”’.,;:?!]+")


class GluePunctuation(SphinxPostTransform):
    """Put each formula and the marks that touch it into one unbreakable box."""

    default_priority = 410
    formats = ("html",)

    def run(self, **kwargs):
        for formula in list(self.document.findall(nodes.math)):
            before = self.take(formula, -1, _OPENING)
            after = self.take(formula, 1, _CLOSING)
            if before or after:
                box = nodes.inline(classes=["unbroken"])
                formula.replace_self(box)
                box += [nodes.Text(before), formula, nodes.Text(after)]

    def take(self, formula: nodes.math, step: int, marks: re.Pattern) -> str:
        """Cut the marks off the neighbouring text and return them."""
        siblings, at = formula.parent.children, formula.parent.index(formula) + step
        if not 0 <= at < len(siblings) or not isinstance(siblings[at], nodes.Text):
            return ""
        found = marks.search(siblings[at])
        if not found:
            return ""
        rest = siblings[at][: found.start()] + siblings[at][found.end() :]
        formula.parent[at] = nodes.Text(rest)  # by position: equal texts may stand in one paragraph
        return found[0]


def setup(app):
    app.add_post_transform(GluePunctuation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
