"""The page of every claim in the book, and the totals."""

from __future__ import annotations

from collections import Counter

from docutils import nodes

from book_directive import BookDirective, table
from cells import cell_id
from chapters import Chapter, syllabus
from equations import equation_id
from header_card import count


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
                self.link(chapter, f"({check.number})", equation_id(str(check.number))),
                check.what,
                self.link(chapter, check.kind, cell_id(check.cell)),
                check.threshold,
                "; ".join(check.controls) or "–",
            ]
            for check in sorted(chapter.checks, key=lambda check: (check.number, check.cell))
        ]
        title = nodes.title("", "", self.link(chapter, chapter.header.title))
        head = ["Equation", "What is shown", "Kind", "Threshold", "Mistakes rejected"]
        return nodes.section("", title, table(head, rows, ["claims"]), ids=[f"claims-{chapter.slug}"])


def setup(app):
    app.add_directive("totals", Totals)
    app.add_directive("claims", Claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
