"""The first page: one claim as the chapters show them, paths through the book, and what is not written yet."""

from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from docutils import nodes

from lib.chapter.anchors import equation_anchor
from lib.chapter.book import ROOT, read_yaml, syllabus
from lib.chapter.notebook import Chapter

from .claims import tick
from .learning_map import minutes, short
from .pages import BookDirective, count

PATHS = Path("book", "paths.yml")


@dataclass(frozen=True)
class StudyPath:
    """A way through the book: chapters by their slugs, in order."""

    name: str
    says: str
    chapters: tuple[str, ...]


@cache
def paths(root: Path = ROOT) -> list[StudyPath]:
    """The paths of book/paths.yml; a ValueError names a chapter that the syllabus does not know."""
    planned = {entry["slug"] for part in syllabus(root) for entry in part["chapters"]}
    entries = read_yaml(root / PATHS)
    found = [StudyPath(entry["name"], entry["says"], tuple(entry["chapters"])) for entry in entries]
    for path in found:
        if unknown := [slug for slug in path.chapters if slug not in planned]:
            raise ValueError(f"{PATHS}, {path.name}: expected slugs of book/syllabus.yml, got {', '.join(unknown)}")
    return found


def misplaced(path: StudyPath, needs: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Pairs of a written chapter of a path and one that it needs and that does not stand before it."""
    before = {slug: path.chapters[:i] for i, slug in enumerate(path.chapters)}
    return [(slug, other) for slug in path.chapters for other in needs.get(slug, []) if other not in before[slug]]


class ClaimExample(BookDirective):
    """`{claim-example} slug number`: a chapter's claim, written in the body, its tick and what its check printed."""

    required_arguments, has_content = 2, True

    def run(self):
        slug, number = self.arguments
        chapter = next((one for one in self.read_chapters() if one.slug == slug), None)
        checks = [check for check in chapter.checks if str(check.number) == number] if chapter else []
        if not checks:
            raise self.error(f"expected a chapter and the number of an equation that it checks, got {slug} {number}")
        check = checks[0]
        formula, _ = self.state.inline_text(" ".join(self.content), self.lineno)
        mark = tick(chapter, number, check.cell).replace('href="', f'href="{escape(self.address(chapter))}')
        rejected = f" · rejects: {'; '.join(check.controls)}" if check.controls else ""
        printed = f"✓ ({number}) {check.kind} · {check.threshold} · {check.what}{rejected}"
        claim = nodes.paragraph("", "", nodes.inline("", "", *formula, classes=["formula"]))
        claim += [nodes.Text(f" ({number}) "), nodes.raw("", mark, format="html")]
        source = nodes.paragraph("", "What its check printed, in ", classes=["from"])
        source += [self.link(chapter, chapter.header.title, equation_anchor(number)), nodes.Text(":")]
        line = nodes.literal_block(printed, printed, language="text")
        return [nodes.container("", claim, source, line, classes=["claim-example"])]


class Paths(BookDirective):
    """`{paths}`: every path with its hours, folded: the chapters that are written as links, the others in one line."""

    def run(self):
        self.env.note_dependency(str(ROOT / PATHS))
        written = {chapter.slug: chapter for chapter in self.read_chapters()}
        titles = {entry["slug"]: entry["title"] for part in syllabus() for entry in part["chapters"]}
        return [node for path in paths() for node in self.path(path, written, titles)]

    def path(self, path: StudyPath, written: dict[str, Chapter], titles: dict[str, str]) -> list[nodes.Node]:
        here = [written[slug] for slug in path.chapters if slug in written]
        times = [minutes(chapter) for chapter in here]
        to_read, to_work = [round(sum(time) / 60) for time in zip(*times, strict=True)] or [0, 0]
        figures = f"{count(len(here), 'chapter')}, {count(to_read + to_work, 'hour')}"
        head = (
            f'<details class="path"><summary><b>{escape(path.name)}</b> <span class="hours">{figures}</span> '
            f'<span class="progress-count" data-chapters="{" ".join(one.slug for one in here)}"></span></summary>'
        )
        items = nodes.enumerated_list(enumtype="arabic", prefix="", suffix=".")
        for chapter, (read, work) in zip(here, times, strict=True):
            title = self.link(chapter, chapter.header.title)
            items += nodes.list_item("", nodes.paragraph("", "", title, nodes.Text(f" · {short(read, work)}")))
        total = f"{path.says} {count(to_read, 'hour')} to read and {to_work} to work."
        later = [titles[slug] for slug in path.chapters if slug not in written]
        planned = f"Not yet written: {len(later)} ({'; '.join(later)})."
        return [
            nodes.raw("", head, format="html"),
            nodes.paragraph("", total),
            items,
            *([nodes.paragraph("", planned, classes=["unwritten"])] if later else []),
            nodes.raw("", "</details>", format="html"),
        ]


class Unwritten(BookDirective):
    """`{unwritten}`: how many chapters are still to come, in one line that its body ends."""

    has_content = True

    def run(self):
        left = sum(len(part["chapters"]) for part in syllabus()) - len(self.read_chapters())
        more, _ = self.state.inline_text(" ".join(self.content), self.lineno)
        line = f"{count(left, 'chapter')} of the plan {'is' if left == 1 else 'are'} not yet written. "
        return [nodes.paragraph("", line, *more, classes=["unwritten"])] if left else []
