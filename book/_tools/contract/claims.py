"""The rules of equations and checks: every numbered equation is a claim and has a check that can fail."""

import re
from collections import Counter
from collections.abc import Iterator

from lib.chapter.notebook import Chapter, without_code
from lib.course.line import NEED_CONTROLS, parse

from .code import calls_claims, parsed

FEWEST_CLAIMS, FEWEST_CONTROLS = 5, 2

_ANY_TAG = re.compile(r"\\tag(\*?(?:\{[^}]*\})?)")


def claims(chapter: Chapter) -> Iterator[str]:
    yield from _numbers(chapter)
    yield from chapter.unproved()
    yield from _checks(chapter)


def controls(chapter: Chapter) -> Iterator[str]:
    for check in chapter.checks:
        if check.kind in NEED_CONTROLS and not check.controls:
            yield (
                f"{chapter.place(check.cell)}: check ({check.number}) is {check.kind} without a control; hand it a "
                "plausible mistake with unlike={…}"
            )


def _numbers(chapter: Chapter) -> Iterator[str]:
    for i in chapter.indices("markdown"):
        prose = without_code(chapter.source(i))
        readable = [f"{{{e.tag}}}" for e in chapter.equations if e.cell == i and e.tag]
        unreadable = Counter(_ANY_TAG.findall(prose)) - Counter(readable)
        for tag in unreadable:
            yield (
                f"{chapter.place(i)}: \\tag{tag} is not the number of a display; write \\tag{{1}} for a claim or "
                r"\tag{D1} for a definition, inside $$ … $$"
            )
        for tex, tags in Counter(e.tex for e in chapter.equations if e.cell == i and e.tag).items():
            if tags > 1:
                yield f"{chapter.place(i)}: one display has {tags} numbers ({tex[:40]}…); give one block one number"
    for prefix, name in (("", "equation"), ("D", "definition")):
        found = [e for e in chapter.equations if e.tag and e.tag.startswith("D") == bool(prefix)]
        for due, equation in enumerate(found, 1):
            if equation.tag != f"{prefix}{due}":
                yield (
                    f"{chapter.place(equation.cell)}: {name} ({equation.tag}) stands where ({prefix}{due}) is due; "
                    f"number the {name}s {prefix}1, {prefix}2, … in reading order, without gap or repeat"
                )
                break
    for equation in chapter.equations:
        if equation.tag and equation.tag.startswith("D") and ":=" not in equation.tex:
            yield (
                f"{chapter.place(equation.cell)}: definition ({equation.tag}) has no := ; write it with := or, if it "
                "asserts something, number it as a claim and check it"
            )


def _checks(chapter: Chapter) -> Iterator[str]:
    for i in chapter.indices("code"):
        lines, malformed = parse(chapter.output_text(i))
        for row in malformed:
            yield f"{chapter.place(i)}: the claim line {row!r} is malformed; let lib.course.claims print it"
        if lines and not calls_claims(parsed(chapter.source(i))):
            yield f"{chapter.place(i)}: prints a claim line and calls no claims.… function; let lib.course.claims verify it"
    if len(chapter.claim_numbers) < FEWEST_CLAIMS:
        yield (
            f"numbered claims: {len(chapter.claim_numbers)}; number and check what the argument rests on, "
            f"at least {FEWEST_CLAIMS} equations"
        )
    controls = sum(len(check.controls) for check in chapter.checks)
    if controls < FEWEST_CONTROLS:
        yield (
            f"negative controls: {controls}; hand at least {FEWEST_CONTROLS} plausible mistakes to the checks "
            "with unlike={…}"
        )
