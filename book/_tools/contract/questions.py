"""The rule of questions: each section of the argument ends with one, and its answer is folded."""

import re
from collections.abc import Iterator

from lib.chapter.notebook import Chapter, without_code

FORM = "'> **Question.** one line', then <details>, <summary>Answer</summary>, the answer and </details>"

_HEADING = re.compile(r"^(?=#{1,3} )", re.M)
_NO_ARGUMENT = re.compile(r"## (Correction|In production|Exercises|What to remember)\b|#{2,3} Deeper:")
_BEGINNING = re.compile(r"^> \*\*Question\.\*\*", re.M)
_QUESTION = re.compile(
    r"^> \*\*Question\.\*\* [^\n]+\n\n<details>\n<summary>Answer</summary>\n\n(?!</details>).+?\n\n</details>\s*\Z",
    re.M | re.S,
)
_CODE_CELL = "(a code cell)"


def questions(chapter: Chapter) -> Iterator[str]:
    for title, content in sections_of_argument(chapter):
        number = len(_BEGINNING.findall(content))
        if number != 1:
            yield f"section {title!r}: {number} questions; end it with exactly one, in the form {FORM}"
        elif not _QUESTION.search(content):
            yield f"section {title!r}: the question and its folded answer do not end it; write last {FORM}"


def sections_of_argument(chapter: Chapter) -> list[tuple[str, str]]:
    """Title and text of each section of level 2 that carries the argument, without the deeper parts in it."""
    cells = (
        without_code(chapter.source(i)) if cell["cell_type"] == "markdown" else _CODE_CELL
        for i, cell in enumerate(chapter.cells)
    )
    found, belongs = [], False
    for piece in _HEADING.split("\n\n".join(cells)):
        if piece.startswith("## "):
            belongs = not _NO_ARGUMENT.match(piece)
            if belongs:
                found.append((piece.partition("\n")[0].removeprefix("## ").strip(), piece))
        elif belongs and not _NO_ARGUMENT.match(piece):
            title, content = found[-1]
            found[-1] = title, content + piece
    return found
