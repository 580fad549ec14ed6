"""A claim on the site: the tick beside its equation, its row on the page of every claim, and the totals."""

from collections import Counter
from html import escape
from itertools import groupby

from docutils import nodes
from sphinx.transforms import SphinxTransform

from lib.chapter.anchors import equation_anchor
from lib.chapter.book import syllabus
from lib.chapter.notebook import TAG, Chapter, Check

from .pages import BookDirective, add_files_where, chapter_of, count, part_titles, table


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
            row += unnumbered(display)
            row += [number(tag) for tag in tags]
            ticks = [tick(chapter, tag, cell) for tag in tags for cell in checking_cells(chapter.checks, tag)]
            if ticks:
                row += nodes.raw("", f'<p class="ticks">{"".join(ticks)}</p>', format="html")


def unnumbered(display: nodes.math_block) -> nodes.math_block:
    """The display without its tags: the number stands beside it, in view however wide the formula is."""
    plain = TAG.sub("", display.astext()).strip()
    return nodes.math_block(plain, plain, **display.attributes)


def number(tag: str) -> nodes.raw:
    link = f'<a href="#{equation_anchor(tag)}" title="A link to this equation">({tag})</a>'
    return nodes.raw("", f'<p class="equation-number">{link}</p>', format="html")


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
    """`{claims}`: how many claims there are of each kind, and every claim in a fold for each chapter, part by part."""

    def run(self):
        found = self.read_chapters()
        if not any(chapter.checks for chapter in found):
            return [nodes.paragraph("", "No chapter has been written yet.")]
        titles = part_titles()
        parts = [(name, list(group)) for name, group in groupby(found, lambda chapter: chapter.part)]
        kinds = [kind for kind, _ in Counter(check.kind for chapter in found for check in chapter.checks).most_common()]
        named = {name: titles.get(name, name) for name, _ in parts}
        sections = [self.section(name, named[name], chapters) for name, chapters in parts]
        return [
            nodes.raw("", "<details><summary>How many there are of each kind</summary>", format="html"),
            self.by_kind(found),
            nodes.raw("", "</details>" + filters(kinds, named), format="html"),
            *sections,
        ]

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

    def section(self, part: str, title: str, found: list[Chapter]) -> nodes.section:
        folds = [node for chapter in found for node in self.fold(chapter)]
        return nodes.section("", nodes.title("", title), *folds, ids=[f"claims-of-{part}"], classes=["claims-of-part"])

    def fold(self, chapter: Chapter) -> list[nodes.Node]:
        checks = sorted(chapter.checks, key=lambda check: (check.number, check.cell))
        body = [
            [
                self.link(chapter, f"({check.number})", equation_anchor(str(check.number))),
                check.what,
                self.link(chapter, check.kind, chapter.anchor(check.cell)),
                check.threshold,
                "; ".join(check.controls) or "–",
            ]
            for check in checks
        ]
        claims = table(["Equation", "What is shown", "Kind", "Threshold", "Mistakes rejected"], body, ["claims"])
        seen = set()
        for check, row in zip(checks, claims.next_node(nodes.tbody).children, strict=True):
            row["classes"].append(f"kind-{check.kind}")
            if check.number not in seen:
                row["ids"].append(claim_anchor(chapter, check.number))
                seen.add(check.number)
        title = escape(chapter.header.title)
        counts = f"{count(len(chapter.claim_numbers), 'claim')}, {count(len(checks), 'check')}"
        return [
            nodes.raw(
                "",
                f'<details class="claims" id="claims-{chapter.slug}"><summary>{title}'
                f' <span class="counts">{counts}</span></summary>',
                format="html",
            ),
            nodes.paragraph("", "", self.link(chapter, f"Read the chapter: {chapter.header.title}")),
            claims,
            nodes.raw("", "</details>", format="html"),
        ]


def claim_anchor(chapter: Chapter, number: int) -> str:
    """The address of a claim on the page of every claim; a browser that goes there opens the chapter's fold."""
    return f"claim-{chapter.slug}-{number}"


def filters(kinds: list[str], parts: dict[str, str]) -> str:
    """The choices of a kind and of a part, two buttons, and what they leave; without scripts they are not shown."""

    def choice(label: str, name: str, values: dict[str, str]) -> str:
        options = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in values.items())
        return f'<label>{label} <select name="{name}"><option value="">all</option>{options}</select></label>'

    return (
        '<form class="claim-filters">'
        + choice("Kind", "kind", {kind: kind for kind in kinds})
        + choice("Part", "part", {f"claims-of-{name}": title for name, title in parts.items()})
        + '<button type="button" value="open">Open all chapters</button>'
        '<button type="button" value="close">Close all chapters</button><output></output></form>'
    )


def setup(app):
    add_files_where(app, 'class="claim-filters"', "claims.css", "claims.js")
