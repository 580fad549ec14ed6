"""The one line that a passing check prints, and the only place that knows its form.

    ✓ (4) exact · 1e-12 · posterior mean by Bayes on 1,000 draws · rejects: forgot the root; wrong axis

The checks print it; the contract and the site read it back from a notebook's stored outputs.
"""

import re
from dataclasses import dataclass

KINDS = ("symbolic", "exact", "statistical", "order", "bound", "cost", "measured")
NEED_CONTROLS = frozenset({"statistical", "bound", "measured"})

_START, _PART, _REJECTS, _CONTROL = "✓ (", " · ", "rejects: ", "; "
_TEXT = rf"((?:(?!{_PART}).)+)"
_LINE = re.compile(rf"✓ \((\d+)\) ({'|'.join(KINDS)}){_PART}{_TEXT}{_PART}{_TEXT}(?:{_PART}{_REJECTS}{_TEXT})?")


@dataclass(frozen=True)
class Line:
    """A check of the equation `number`: its kind, its threshold, what it showed and the mistakes that it rejected."""

    number: int
    kind: str
    threshold: str
    what: str
    controls: tuple[str, ...] = ()

    def format(self) -> str:
        parts = [f"{_START}{self.number}) {self.kind}", self.threshold, self.what]
        if self.controls:
            parts.append(_REJECTS + _CONTROL.join(self.controls))
        return _PART.join(parts)

    __str__ = format


def parse(output: str) -> tuple[list[Line], list[str]]:
    """The checks' lines in what a cell printed, and the rows that look like one but are malformed."""
    if not isinstance(output, str):
        raise TypeError(f"output must be a text, got {type(output).__name__}")
    found, malformed = [], []
    for row in output.splitlines():
        if match := _LINE.fullmatch(row):
            number, kind, threshold, what, controls = match.groups()
            found.append(Line(int(number), kind, threshold, what, tuple(controls.split(_CONTROL)) if controls else ()))
        elif _START in row:
            malformed.append(row)
    return found, malformed


def is_plain(words: object) -> bool:
    """Whether a text can stand in a line without breaking its form: one printable row without a mark of the line's own."""
    if not isinstance(words, str) or not words or words != words.strip(" ·;"):
        return False
    return words.isprintable() and not any(mark in words for mark in (_PART, _CONTROL, "✓"))
