"""Exercises on the site: each has a short address in its chapter, and one page lists all of them."""

import re
from itertools import groupby

from docutils import nodes
from sphinx.transforms import SphinxTransform

from lib.chapter.anchors import exercise_anchor
from lib.chapter.notebook import Chapter, Exercise

from .pages import BookDirective, chapter_of, count, fold, part_titles, table

ON_PAPER = " (on paper)"
_HEADING = re.compile(r"Exercise (\d+) ★")


class ExerciseAddresses(SphinxTransform):
    """Give the section of every exercise its address."""

    def apply(self):
        for section in self.document.findall(nodes.section) if chapter_of(self.env) else []:
            if number := _HEADING.match(section.next_node(nodes.title).astext()):
                section["ids"].append(exercise_anchor(int(number[1])))


def hours(minutes: int) -> str:
    """A time to plan with: minutes below two hours, else whole hours."""
    return count(minutes, "minute") if minutes < 120 else f"{minutes / 60:.0f} hours"


class Exercises(BookDirective):
    """`{exercises}`: how many there are of each difficulty, and every exercise in a fold for each chapter."""

    def run(self):
        found = [chapter for chapter in self.read_chapters() if chapter.exercises]
        titles = part_titles()
        sections = []
        for part, group in groupby(found, lambda chapter: chapter.part):
            folds = [node for chapter in group for node in self.fold(chapter)]
            title, ids = nodes.title("", titles.get(part, part)), [f"exercises-of-{part}"]
            sections.append(nodes.section("", title, *folds, ids=ids, classes=["listing", "exercises"]))
        return [self.totals([exercise for chapter in found for exercise in chapter.exercises]), *sections]

    def totals(self, exercises: list[Exercise]) -> nodes.table:
        rows = []
        for stars in (1, 2, 3):
            these = [exercise for exercise in exercises if exercise.stars == stars]
            rows.append(["★" * stars, str(len(these)), hours(sum(exercise.minutes for exercise in these))])
        rows.append(["all", str(len(exercises)), hours(sum(exercise.minutes for exercise in exercises))])
        return table(["Difficulty", "Exercises", "Time"], rows, ["totals"])

    def fold(self, chapter: Chapter) -> list[nodes.Node]:
        minutes = sum(exercise.minutes for exercise in chapter.exercises)
        counts = f"{count(len(chapter.exercises), 'exercise')}, {hours(minutes)}"
        rows = [self.row(chapter, exercise) for exercise in chapter.exercises]
        head = ["Difficulty", "Exercise", "On paper", "Minutes"]
        link = nodes.paragraph("", "", self.link(chapter, f"Read the chapter: {chapter.header.title}"))
        return fold(f"exercises-{chapter.slug}", chapter.header.title, counts, [link, table(head, rows, ["exercises"])])

    def row(self, chapter: Chapter, exercise: Exercise) -> list[nodes.Node | str]:
        link = self.link(chapter, f"{exercise.number}. ", exercise.anchor)
        link += self.parsed(exercise.title.removesuffix(ON_PAPER))
        paper = "on paper" if exercise.title.endswith(ON_PAPER) else ""
        return ["★" * exercise.stars, link, paper, str(exercise.minutes)]
