"""Mathematics on the site: displays stand by themselves, and formulas within a line keep their punctuation."""

import re
from itertools import groupby

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

_OPENING = re.compile(r"[(\[“‘]+$")
_CLOSING = re.compile(r"^[)\]”’.,;:?!]+")


class LiftDisplays(SphinxTransform):
    """A display typed without blank lines around it stands inside a paragraph, which HTML does not allow."""

    def apply(self):
        for paragraph in list(self.document.findall(nodes.paragraph)):
            if not any(isinstance(child, nodes.math_block) for child in paragraph.children):
                continue
            pieces = []
            for is_display, run in groupby(paragraph.children, lambda child: isinstance(child, nodes.math_block)):
                run = list(run)
                if is_display:
                    pieces += run
                elif any(child.astext().strip() for child in run):
                    pieces.append(nodes.paragraph("", "", *run))
            paragraph.replace_self(pieces)


class GluePunctuation(SphinxPostTransform):
    """Put each formula and the marks that touch it into one unbreakable box, or a line may break between them."""

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
