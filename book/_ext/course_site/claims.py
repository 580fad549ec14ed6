"""A claim on the site: the tick beside its equation, its row on the page of every claim, and the totals."""

from collections import Counter
from html import escape

from docutils import nodes
from sphinx.transforms import SphinxTransform

from lib.chapter.book import syllabus
from lib.chapter.notebook import TAG, Chapter, Check, equation_anchor

from .pages import BookDirective, chapter_of, count, table


class Ticks(SphinxTransform):
    """Give every numbered equation its address and, if it is a claim, a tick for each cell that checks it."""

    def apply(self):
        chapter = chapter_of(self.env)
        for display in list(self.document.findall(nodes.math_block)) if chapter else []:
            tags = TAG.findall(display.astext())
            if not tags:
                continue
            row = nodes.container(classes=["equation"], ids=[equation_anchor(tag) for tag in tags])
            display.replace_self(row)
            row += display
            ticks = [tick(chapter, tag, cell) for tag in tags for cell in checking_cells(chapter.checks, tag)]
            if ticks:
                row += nodes.raw("", f'<p class="ticks">{"".join(ticks)}</p>', format="html")


def checking_cells(checks: list[Check], tag: str) -> list[int]:
    return sorted({check.cell for check in checks if str(check.number) == tag})


def tick(chapter: Chapter, tag: str, cell: int) -> str:
    """A link from an equation to a cell that checks it; it says what the cell shows."""
    here = [check for check in chapter.checks if check.cell == cell and str(check.number) == tag]
    says = "; ".join(f"{check.kind}, {check.threshold}: {check.what}" for check in here)
    label = escape(f"Equation ({tag}) is checked. {says}")
    return f'<a class="tick" href="#{chapter.anchor(cell)}" title="{label}" aria-label="{label}">✓</a>'


def totals(found: list[Chapter]) -> str:
    """One sentence about the whole book."""
    checks = [check for chapter in found for check in chapter.checks]
    claims = sum(len(chapter.claim_numbers) for chapter in found)
    controls = sum(len(check.controls) for check in checks)
    planned = sum(len(part["chapters"]) for part in syllabus())
    exercises = sum(len(chapter.exercises) for chapter in found)
    return (
        f"{len(found)} of {count(planned, 'chapter')}, {count(claims, 'claim')}, "
        f"{count(len(checks), 'passing check')}, {count(controls, 'plausible mistake')} rejected, {count(exercises, 'exercise')}."
    )


class Totals(BookDirective):
    """`{totals}`: one sentence with the book's figures."""

    def run(self):
        return [nodes.paragraph("", totals(self.read_chapters()), classes=["totals"])]


class Claims(BookDirective):
    """`{claims}`: every claim, chapter by chapter, and how many there are of each kind."""

    def run(self):
        found = self.read_chapters()
        if not any(chapter.checks for chapter in found):
            return [nodes.paragraph("", "No chapter has been written yet.")]
        return [self.by_kind(found), *[self.section(chapter) for chapter in found]]

    def by_kind(self, found: list[Chapter]) -> nodes.table:
        checks, controls, chapters = Counter(), Counter(), Counter()
        for chapter in found:
            checks.update(check.kind for check in chapter.checks)
            chapters.update({check.kind for check in chapter.checks})
            for check in chapter.checks:
                controls[check.kind] += len(check.controls)
        rows = [[kind, str(n), str(controls[kind]), str(chapters[kind])] for kind, n in checks.most_common()]
        rows.append(["all", str(checks.total()), str(controls.total()), str(len(found))])
        return table(["Kind", "Checks", "Mistakes rejected", "Chapters"], rows, ["totals"])

    def section(self, chapter: Chapter) -> nodes.section:
        rows = [
            [
                self.link(chapter, f"({check.number})", equation_anchor(str(check.number))),
                check.what,
                self.link(chapter, check.kind, chapter.anchor(check.cell)),
                check.threshold,
                "; ".join(check.controls) or "–",
            ]
            for check in sorted(chapter.checks, key=lambda check: (check.number, check.cell))
        ]
        title = nodes.title("", "", self.link(chapter, chapter.header.title))
        head = ["Equation", "What is shown", "Kind", "Threshold", "Mistakes rejected"]
        return nodes.section("", title, table(head, rows, ["claims"]), ids=[f"claims-{chapter.slug}"])
