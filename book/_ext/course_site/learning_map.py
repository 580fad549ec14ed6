"""The learning map: the chapters and what each needs, drawn when the site is built, and the same as a list.

Every part of the book is a band. A chapter stands below those that it needs, so that all arrows point down, and arrows
pass between the boxes. The drawing is complete without scripts; `home.js` lights up what a chapter needs.
"""

import textwrap
from dataclasses import dataclass
from html import escape
from itertools import groupby
from statistics import mean

from docutils import nodes
from sphinx.util import logging

from lib.chapter.notebook import Chapter
from lib.chapter.reading import core_and_deeper

from .overviews import needed, steps
from .pages import BookDirective, add_files_where, part_titles

LOGGER = logging.getLogger(__name__)

# The drawing's measures in pixels. Three boxes beside each other fill the text's column on a desktop.
COLUMNS, MARGIN = 3, 20
BOX_WIDTH, GUTTER = 218, 22
BOX_HEIGHT, GAP = 74, 26
BAND_TITLE, BAND_GAP = 30, 14
WIDTH = 2 * MARGIN + COLUMNS * BOX_WIDTH + (COLUMNS - 1) * GUTTER
LETTERS, LINES = 27, 3  # in a line of a box, and lines


@dataclass(frozen=True)
class Place:
    """Where a chapter's box stands: its column, its row in the whole drawing, and its top edge."""

    column: int
    row: int
    top: int

    @property
    def left(self) -> int:
        return MARGIN + self.column * (BOX_WIDTH + GUTTER)

    @property
    def middle(self) -> int:
        return self.left + BOX_WIDTH // 2


@dataclass(frozen=True)
class Band:
    """Where a part of the book stands, from its title to below its last box."""

    part: str
    top: int
    height: int


def minutes(chapter: Chapter) -> tuple[int, int]:
    """Minutes to read a chapter without what is deeper, and minutes to work."""
    return round(core_and_deeper(chapter)[0].minutes), chapter.header.minutes_to_work


def short(to_read: int, to_work: int) -> str:
    """Both in a few characters, which stay on one line."""
    return f"{to_read} + {to_work} min".replace(" ", "\N{NO-BREAK SPACE}")


def lines_of(title: str) -> list[str]:
    """A title as a box shows it."""
    return textwrap.wrap(title, LETTERS, max_lines=LINES, placeholder=" …")


def needs_of(found: list[Chapter]) -> dict[str, list[str]]:
    """The slugs of what each chapter needs; a ValueError names a chapter that stands before what it needs."""
    needs = {}
    for chapter in found:
        needs[chapter.slug] = [other.slug for other in needed(chapter, found)]
        for slug in needs[chapter.slug]:
            if slug not in needs or slug == chapter.slug:
                raise ValueError(
                    f"{chapter.slug} needs {slug}: expected {slug} to stand before it in _toc.yml; "
                    "change the order there and in book/syllabus.yml, or the chapter's “Needs”"
                )
    return needs


def rows_of(slugs: list[str], needs: dict[str, list[str]]) -> list[list[str]]:
    """The chapters of one part in rows: each in the first row with a free place below those that it needs."""
    rows, row_of = [], {}
    for slug in slugs:
        row = max((row_of[other] + 1 for other in needs[slug] if other in row_of), default=0)
        while row < len(rows) and len(rows[row]) == COLUMNS:
            row += 1
        if row == len(rows):
            rows.append([])
        rows[row].append(slug)
        row_of[slug] = row
    return rows


def layout(parts: dict[str, list[str]], needs: dict[str, list[str]]) -> tuple[dict[str, Place], list[Band]]:
    """A place for each chapter and a band for each part; within a row chapters stand below what they need."""
    places, bands, top, row = {}, [], 0, 0
    for part, slugs in parts.items():
        start, top = top, top + BAND_TITLE
        for chapters in rows_of(slugs, needs):
            column = {slug: i for i, slug in enumerate(chapters)}
            above = {slug: [places[other].column for other in needs[slug]] for slug in chapters}
            chapters.sort(key=lambda slug: mean(above[slug] or [column[slug]]))
            places |= {slug: Place(i, row, top) for i, slug in enumerate(chapters)}
            top, row = top + BOX_HEIGHT + GAP, row + 1
        top += BAND_GAP - GAP // 2
        bands.append(Band(part, start, top - start - BAND_GAP // 2))
    return places, bands


def arrow(start: Place, end: Place) -> str:
    """The path of an arrow from a chapter down to one that needs it, through a gutter where rows are between."""
    x, y, to_x, to_y = start.middle, start.top + BOX_HEIGHT, end.middle, end.top - 1
    head = f"M{to_x - 4} {to_y - 7}l4 7l4 -7"
    if end.row == start.row + 1:
        bend = (y + to_y) // 2
        return f"M{x} {y}C{x} {bend} {to_x} {bend} {to_x} {to_y}{head}"
    gutters = [MARGIN + i * (BOX_WIDTH + GUTTER) - GUTTER // 2 for i in range(COLUMNS + 1)]
    gutter = min(gutters, key=lambda at: abs(at - x) + abs(at - to_x)) + 4 * (start.column - 1)
    return (
        f"M{x} {y}C{x} {y + GAP} {gutter} {y} {gutter} {y + GAP}V{to_y - GAP}"
        f"C{gutter} {to_y} {to_x} {to_y - GAP} {to_x} {to_y}{head}"
    )


class LearningMap(BookDirective):
    """`{learning-map}`: the chapters in a drawing, and as a list in steps."""

    def run(self):
        found = self.read_chapters()
        if not found:
            return [nodes.paragraph("", "No chapter has been written yet.")]
        try:
            needs = needs_of(found)
        except ValueError as error:
            LOGGER.warning(str(error), location=self.get_location())
            return []
        fold = '<details class="map-list"><summary>The map as a list, step by step</summary>'
        return [
            nodes.raw("", self.drawing(found, needs), format="html"),
            nodes.raw("", fold, format="html"),
            self.in_steps(found, needs),
            nodes.raw("", "</details>", format="html"),
        ]

    def drawing(self, found: list[Chapter], needs: dict[str, list[str]]) -> str:
        parts = {part: [chapter.slug for chapter in group] for part, group in groupby(found, lambda one: one.part)}
        places, bands = layout(parts, needs)
        titles = part_titles()
        names = {chapter.slug: chapter.header.title for chapter in found}
        grounds = [
            f'<rect class="band part-{band.part}" x="1" y="{band.top + 1}" width="{WIDTH - 2}" '
            f'height="{band.height}" rx="6"/>'
            for band in bands
        ]
        heads = [
            f'<text class="part" x="{MARGIN}" y="{band.top + 20}">{escape(titles.get(band.part, band.part))}</text>'
            for band in bands
        ]
        arrows = [
            f'<path data-from="{other}" data-to="{slug}" d="{arrow(places[other], places[slug])}"/>'
            for slug, others in needs.items()
            for other in others
        ]
        boxes = [self.box(one, places[one.slug], [names[slug] for slug in needs[one.slug]]) for one in found]
        height = bands[-1].top + bands[-1].height + 2
        return (
            '<div class="learning-map" role="region" aria-label="Learning map" tabindex="0">'
            f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="group" '
            'aria-labelledby="map-title" aria-describedby="map-says">'
            '<title id="map-title">The chapters and what each needs</title>'
            '<desc id="map-says">Every box is a link to a chapter and says what it needs. The boxes are in the order '
            "of reading, and a list of the same follows.</desc>"
            f'{"".join(grounds)}<g class="arrows" aria-hidden="true">{"".join(arrows)}</g>'
            f"{''.join(heads)}{''.join(boxes)}</svg></div>"
        )

    def box(self, chapter: Chapter, place: Place, needs: list[str]) -> str:
        """A chapter's box: a link whose label says in words what the drawing shows."""
        to_read, to_work = minutes(chapter)
        lines = lines_of(chapter.header.title)
        label = f"{chapter.header.title}: {to_read} minutes to read, {to_work} to work"
        label += f"; needs {', '.join(needs)}" if needs else "; needs no other chapter"
        x, y = place.left, place.top
        spans = [f'<tspan x="{x + 14}" y="{y + 18 + 15 * i}">{escape(line)}</tspan>' for i, line in enumerate(lines)]
        return (
            f'<a class="part-{chapter.part}" href="{escape(self.address(chapter))}" '
            f'data-chapter="{chapter.slug}" aria-label="{escape(label)}">'
            f'<rect class="box" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="4"/>'
            f'<rect class="bar" x="{x}" y="{y}" width="5" height="{BOX_HEIGHT}" rx="2"/>'
            f"<text>{''.join(spans)}</text>"
            f'<text class="minutes" x="{x + 14}" y="{y + BOX_HEIGHT - 9}">{short(to_read, to_work)}</text>'
            f'<text class="ticked" x="{x + BOX_WIDTH - 10}" y="{y + BOX_HEIGHT - 9}"></text></a>'
        )

    def in_steps(self, found: list[Chapter], needs: dict[str, list[str]]) -> nodes.bullet_list:
        step, by_slug = steps({slug: set(others) for slug, others in needs.items()}), {one.slug: one for one in found}
        levels = nodes.bullet_list(classes=["steps"])
        for level in range(max(step.values()) + 1):
            here = [one for one in found if step[one.slug] == level]
            items = [self.item(one, [by_slug[slug] for slug in needs[one.slug]]) for one in here]
            label = nodes.paragraph("", "Start anywhere here" if level == 0 else f"Step {level + 1}")
            levels += nodes.list_item("", label, nodes.bullet_list("", *items))
        return levels

    def item(self, chapter: Chapter, before: list[Chapter]) -> nodes.list_item:
        to_read, to_work = minutes(chapter)
        line = nodes.paragraph("", "", self.link(chapter, chapter.header.title))
        line += nodes.Text(f" · {short(to_read, to_work)}")
        for i, other in enumerate(before):
            line += [nodes.Text(", " if i else " · needs "), self.link(other, other.header.title)]
        return nodes.list_item("", line)


def setup(app):
    add_files_where(app, 'class="learning-map"', "home.css", "home.js")
