"""The contract of equations and checks: every numbered equation is a claim and has a check that can fail."""

import re
from collections import Counter
from collections.abc import Iterator

from chapters import Chapter, without_code

KINDS = frozenset({"symbolic", "exact", "statistical", "order", "bound", "cost", "measured"})
NEED_CONTROLS = frozenset({"bound", "statistical"})
FEWEST_CLAIMS, FEWEST_CONTROLS = 5, 2

_TICK = re.compile(r"^.*✓ \(.*$", re.M)
_PART = r" · (?:(?! · ).)+"
_LINE = re.compile(rf"✓ \(\d+\) \w+{_PART}{_PART}( · rejects: (?:(?! · ).)+)?")
_ANY_TAG = re.compile(r"\\tag(\*?(?:\{[^}]*\})?)")


def violations(chapter: Chapter) -> Iterator[str]:
    yield from _tags(chapter)
    malformed = list(_malformed_lines(chapter))
    yield from malformed or _checks(chapter)


def _tags(chapter: Chapter) -> Iterator[str]:
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


def _malformed_lines(chapter: Chapter) -> Iterator[str]:
    for i in chapter.indices("code"):
        for line in _TICK.findall(chapter.output_text(i)):
            if not _LINE.fullmatch(line):
                yield f"{chapter.place(i)}: the claim line {line!r} is malformed; let lib.course.claims print it"


def _checks(chapter: Chapter) -> Iterator[str]:
    checked = {check.number for check in chapter.checks}
    for equation in chapter.equations:
        if equation.tag and equation.tag.isdigit() and int(equation.tag) not in checked:
            yield (
                f"{chapter.place(equation.cell)}: equation ({equation.tag}) has no check; verify it with a function of "
                f"lib.course.claims that is given the number {equation.tag}, and run the chapter (make run)"
            )
    for check in chapter.checks:
        place = f"{chapter.place(check.cell)}: check ({check.number})"
        if check.number not in chapter.claim_numbers:
            yield f"{place} has no equation; tag the equation that it verifies or correct the number"
        if check.kind not in KINDS:
            yield f"{place} is of the unknown kind {check.kind!r}; the kinds are {', '.join(sorted(KINDS))}"
        if check.kind in NEED_CONTROLS and not check.controls:
            yield f"{place} is {check.kind} without a control; hand it a plausible mistake with unlike={{…}}"
        if "claims." not in chapter.source(check.cell):
            yield f"{place} is printed by a cell that calls no claims.… function; let lib.course.claims verify it"
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
