"""How long a chapter's page takes to read, and how much code it shows.

The rates were measured with fresh readers. Exercises and what follows them are not counted, nor what is folded, as the
source note and the sources are.
"""

import re
from dataclasses import dataclass

from lib.chapter.notebook import Chapter
from lib.course.shapes import checked_after_errors

WORDS, FORMULAS, LINES = 120, 15, 10  # a minute: words, formulas within a line, visible lines of code
DISPLAY = 1.2  # minutes for a displayed equation

_NO_PROSE = re.compile(
    r"<details>.*?</details>|^```.*?^```"
    r"|^> \*\*Source note\.\*\*.*?(?=\n\n|\Z)|^- \*\*Sources:\*\*.*?(?=\n- |\n\n|\Z)",
    re.M | re.S,
)
_DISPLAYED = re.compile(r"\$\$.*?\$\$", re.S)
_INLINE = re.compile(r"\$[^$]+\$")
_HEADING = re.compile(r"^(?=#{1,3} )", re.M)


@dataclass
class Reading:
    """What there is to read in a part of a page."""

    words: int = 0
    displays: int = 0
    formulas: int = 0
    lines: int = 0

    @property
    def minutes(self) -> float:
        return self.words / WORDS + self.displays * DISPLAY + self.formulas / FORMULAS + self.lines / LINES

    @checked_after_errors
    def add_prose(self, markdown: str) -> None:
        inline = _DISPLAYED.sub(" ", markdown)
        self.displays += len(_DISPLAYED.findall(markdown))
        self.formulas += len(_INLINE.findall(inline))
        self.words += len(_INLINE.sub(" ", inline).split())


@checked_after_errors
def visible_lines(chapter: Chapter, cell: int) -> int:
    """Lines that are not blank of a code cell that stands open, 0 for one that is folded."""
    return 0 if chapter.is_folded(cell) else sum(bool(line.strip()) for line in chapter.source(cell).splitlines())


@checked_after_errors
def core_and_deeper(chapter: Chapter) -> tuple[Reading, Reading]:
    """The line of argument, and the sections headed `Deeper: …`, which a reader may skip.

    Such a section ends at the next heading of level 1 to 3 that does not begin with Deeper.
    """
    core, deeper = Reading(), Reading()
    here = core
    for i, cell in enumerate(chapter.cells):
        if cell["cell_type"] == "code":
            here.lines += visible_lines(chapter, i)
            continue
        for section in _HEADING.split(_NO_PROSE.sub(" ", chapter.source(i))):
            if re.match(r"## Exercises *$", section, re.M):
                return core, deeper
            if _HEADING.match(section):
                here = deeper if re.match(r"#{2,3} Deeper:", section) else core
            here.add_prose(section)
    return core, deeper
