"""The book's contract: a good chapter keeps it, and each violation is refused with its place and its remedy."""

import base64
import copy
import json
import subprocess
import sys
from pathlib import Path

import contract
import pytest
from lib.chapter.notebook import Chapter

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
SIGNED = base64.b64encode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x01tEXtx....").decode()
HEADER = """# RoPE: rotary position embedding

> **Source note.** It says that rotating is enough.

- **Question:** What does a turn of 0.5 do?
- **Sources:** [a paper](https://example.org/paper)
- **You will be able to:** rotate (exercise 1); turn back (exercises 2, 3)
- **Needs:** [another chapter](other.ipynb#its-heading)
- **Time:** 45 minutes to work"""
PRODUCTION = """## In production

| Library | Function | What it does | What follows |
|---|---|---|---|
| torch 2.13.0 | `turn` | halves $\\lvert x\\rvert$ | the pairs differ |"""
QUESTION = """> **Question.** How much is half of two?

<details>
<summary>Answer</summary>

One.

</details>"""
METHOD = """def turn(x, base=1.0):
    return base * x


half = turn(2, base=0.5)"""
HIDDEN = {"jupyter": {"source_hidden": True}, "cellView": "form"}
FOLDED = {"tags": ["hide-cell"]} | HIDDEN  # an exercise's checker and solution
SHOWING = {"tags": ["hide-input"]} | HIDDEN  # a cell whose output stays visible
FIGURE = {"mystnb": {"image": {"alt": "A falling curve"}, "figure": {"caption": "It falls."}}}


def markdown(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source, printed="", **metadata):
    outputs = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": outputs}


def exercise(number, title):
    paper = "\n\n<details><summary>Written solution</summary>\n\nRotate twice.\n\n</details>"
    return [
        markdown(f"### Exercise {number} ★★ · {title} · 15 minutes\n\nWrite `f`." + paper * title.endswith("(on paper)")),
        code(f"#@title Checker for exercise {number}\ncheck = checker({number})", **FOLDED),
        code("def f(x):\n    ...\n\ncheck(f)", f"Exercise {number}: not attempted (the function returns nothing)\n"),
        code(
            f"#@title Solution to exercise {number}\ncheck.prove(g, wrong)",
            f"Exercise {number}: solution accepted\n  rejected: forgot the root\n",
            **FOLDED,
        ),
    ]


def good_cells():
    cells = [
        markdown(HEADER),
        code("#@title Set-up: imports and seed\nfrom lib.course.training import seed\n\nrng = seed(11)", **SHOWING),
        markdown("## Derivation\n\nIt is\n\n$$ q := 1 \\tag{D1} $$\n\n> **Pitfall.** See [above](#derivation).\n\n$$ untagged $$"),
    ]
    for n in range(1, 6):
        control = " · rejects: forgot the root; wrong axis" * (n == 1)
        cells.append(markdown(f"Therefore\n\n$$ \\begin{{aligned}} a &= {n} \\\\ &= b \\end{{aligned}} \\tag{{{n}}} $$"))
        check = f"#@title Check of ({n}): a shown fact\ngot = turn({n})\nclaims.exact({n}, got, want)"
        cells.append(code(check, f"✓ ({n}) exact · 1e-12 · a shown fact{control}\n", **SHOWING))
    figure = code("#@title Figure: a falling curve\nplt.show()", **copy.deepcopy(FIGURE), **SHOWING)
    figure["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": {"image/png": PNG}}]
    cells += [figure, code("print(loss)", "0.123\n", tags=["nbval-ignore-output"]), code(METHOD), markdown(QUESTION)]
    cells.append(markdown(PRODUCTION))
    cells.append(markdown("## Exercises"))
    return cells + exercise(1, "Turn") + exercise(2, "Turn back") + exercise(3, "Compose (on paper)")


def notebook(cells):
    count = 0
    for number, cell in enumerate(cells, 1):
        cell["id"] = f"cell-{number:03d}"
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
    metadata = {"course": {"digest": "11"}, "kernelspec": {"name": "python3"}, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def book(tmp_path):
    """A book with the real syllabus and two chapters, of which _toc.yml lists one."""
    folder = tmp_path / "book" / "attention"
    folder.mkdir(parents=True)
    (tmp_path / "book" / "syllabus.yml").write_text((contract.ROOT / "book" / "syllabus.yml").read_text())
    (tmp_path / "_toc.yml").write_text("{root: book/index, parts: [{chapters: [{file: book/attention/other}]}]}")
    production = tmp_path / "tests" / "production"
    production.mkdir(parents=True)
    (production / "test_rope.py").touch()
    for name in ("other", "unlisted"):
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook([markdown("# Title\n\n## Its heading")])))
    return folder


def violations(folder, content, name="rope.ipynb"):
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return contract.violations(Chapter(path), folder.parents[1])


def test_a_good_chapter_keeps_the_contract(book):
    assert violations(book, notebook(good_cells())) == []
    figures = contract.figures(Chapter(book / "rope.ipynb"))
    assert "5 claims, 5 checks, 2 controls, 3 exercises" in figures and "untagged displays 1\n    cell 3" in figures
    assert "core 10 min and 4 visible lines, deeper 0 min; with all 13 visible lines 10 min" in figures


def test_a_written_solution_may_open_the_next_cell_of_prose(book):
    cells = good_cells()
    on_paper, last = cells[EXERCISE + 4], cells[EXERCISE + 8]
    on_paper["source"] = on_paper["source"].replace("Turn back", "Turn back (on paper)")
    statement, _, solution = last["source"].replace(" (on paper)", "").partition("\n\n<details>")
    last["source"] = f"<details>{solution}\n\n{statement}"
    assert violations(book, notebook(cells)) == []


def edit(position, old, new):
    """Replace text in the source of a cell."""

    def mutate(cells):
        assert old in cells[position]["source"]
        cells[position]["source"] = cells[position]["source"].replace(old, new)

    return mutate


def reprint(position, old, new):
    """Replace text in the printed output of a cell."""

    def mutate(cells):
        assert old in cells[position]["outputs"][0]["text"]
        cells[position]["outputs"][0]["text"] = cells[position]["outputs"][0]["text"].replace(old, new)

    return mutate


def retag(position, **metadata):
    return lambda cells: cells[position]["metadata"].update(metadata)


def output(position, **output):
    return lambda cells: cells[position]["outputs"].append(output)


def open_up(position):
    """Unfold a cell."""

    def mutate(cells):
        for key in ("tags", *HIDDEN):
            del cells[position]["metadata"][key]

    return mutate


def slip_in_check(right):
    """Put a check behind the method that makes a slip of it."""
    source = f"#@title Check of (1): a slip\nclaims.exact(1, turn(1), 1, unlike={{'a': claims.slip(turn, {right!r}, 'x')(1)}})"
    printed = "✓ (1) exact · 0 · a · rejects: a\n"
    return lambda cells: cells.insert(METHOD_CELL + 1, code(source, printed, **copy.deepcopy(SHOWING)))


def edits(*mutations):
    return lambda cells: [mutate(cells) for mutate in mutations]


def remove(*positions):
    def mutate(cells):
        for position in sorted(positions, reverse=True):
            del cells[position]

    return mutate


# In the good chapter: 0 header, 1 set-up, 2 definition, 3 + 2k equation k + 1 and 4 + 2k its check, 13 figure,
# 14 training result, 15 method, 16 question, 17 In production, 18 heading, 19 + 4k exercise k + 1, followed by its
# checker, stub and solution.
FIGURE_CELL, RESULT, METHOD_CELL, ASKED, IN_PRODUCTION, EXERCISE = 13, 14, 15, 16, 17, 19
VIOLATIONS = {
    "no title": (edit(0, "# RoPE:", "RoPE:"), "header", "# Title"),
    "no question": (edit(0, "**Question:**", "**Asks:**"), "header", "- **Question:** …?"),
    "no time": (edit(0, "45 minutes to work", "soon"), "header", "minutes to work"),
    "unchecked equation": (remove(6), "cell 6", "equation (2) has no check; verify it"),
    "check without equation": (edit(11, r"\tag{5}", ""), "cell 13", "check (5) has no equation; tag the equation"),
    "repeated number": (edit(5, r"\tag{2}", r"\tag{1}"), "cell 6", "equation (1) stands where (2) is due"),
    "gap in the numbers": (edit(11, r"\tag{5}", r"\tag{6}"), "cell 12", "(6) stands where (5) is due"),
    "number of another form": (edit(11, r"\tag{5}", r"\tag*{5}"), "cell 12", r"\tag*{5} is not the number"),
    "two numbers in a display": (edit(11, r"\tag{5}", r"\tag{5} \tag{6}"), "cell 12", "one display has 2 numbers"),
    "definition without :=": (edit(2, ":=", "="), "cell 3", "definition (D1) has no :="),
    "malformed claim line": (reprint(4, "exact · 1e-12 · ", ""), "cell 5", "malformed"),
    "unknown kind": (reprint(4, "exact", "believed"), "cell 5", "malformed"),
    "bound without a control": (reprint(6, "exact", "bound"), "cell 7", "bound without a control; hand it"),
    "too few controls": (reprint(4, "; wrong axis", ""), "negative controls: 1", "at least 2"),
    "too few claims": (remove(11, 12), "numbered claims: 4", "at least 5"),
    "typed claim line": (edit(4, "claims.exact(1, got, want)", "print(line)"), "cell 5", "calls no claims"),
    "too few exercises": (remove(*range(EXERCISE, EXERCISE + 4)), "exercises: 2", "3 to 5"),
    "malformed exercise": (edit(EXERCISE, "★★", "**"), "cell 20", "write the heading as"),
    "no statement": (edit(EXERCISE, "\n\nWrite `f`.", ""), "cell 20", "statement is missing"),
    "no checker": (remove(EXERCISE + 1), "cell 20", "no checker; add a cell"),
    "no stub": (remove(EXERCISE + 2), "cell 20", "no stub; add a visible cell"),
    "stub that is attempted": (reprint(EXERCISE + 2, "not attempted", "right"), "cell 22", "untouched stub"),
    "no solution": (remove(EXERCISE + 3), "cell 20", "no solution; add a cell"),
    "checker not proved": (reprint(EXERCISE + 3, "rejected", "seen"), "cell 23", "commonest wrong answer"),
    "none on paper": (edit(EXERCISE + 8, " (on paper)", ""), "exercises on paper: 0", "exactly one"),
    "no written solution": (edit(EXERCISE + 8, "details>", "summary>"), "cell 28", "fold it into <details>"),
    "claim in an exercise": (reprint(EXERCISE + 3, "Exercise", "✓ (1) exact · 1 · x\nExercise"), "cell 23", "claim line"),
    "picture without alternative text": (retag(13, mystnb={"figure": {"caption": "c"}}), "cell 14", "image.alt"),
    "picture without caption": (retag(13, mystnb={"image": {"alt": "a"}}), "cell 14", "figure.caption"),
    "SVG": (output(13, output_type="display_data", data={"image/svg+xml": "<svg/>"}), "cell 14", "show it as PNG"),
    "exempt claim": (retag(4, tags=["hide-input", "nbval-ignore-output"]), "cell 5", "an exempt cell verifies; remove"),
    "exempt prover": (edit(14, "print(loss)", "check.prove(f, wrong)"), "cell 15", "an exempt cell verifies"),
    "skipped cell": (retag(4, tags=["nbval-skip"]), "cell 5", "remove the cell's tag 'nbval-skip'"),
    "raises-exception": (retag(4, tags=["raises-exception"]), "cell 5", "remove the cell's tag"),
    "repeated tag": (retag(14, tags=["nbval-ignore-output"] * 2), "cell 15", "repeated; keep one"),
    "nbval comment": (edit(4, "claims.", "# NBVAL_IGNORE_OUTPUT\nclaims."), "cell 5", "remove the comment"),
    "half folded": (retag(EXERCISE + 1, cellView=""), "cell 21", "half folded; give it"),
    "26 lines": (edit(14, "print(loss)", "x = 1\n" * 26), "cell 15", "26 lines; a visible cell has at most 25"),
    "magic": (edit(14, "print(loss)", "%matplotlib inline"), "cell 15", "not plain Python"),
    "installation": (edit(14, "print(loss)", "run('pip install x')"), "cell 15", "installs packages"),
    "late import": (edit(14, "print(loss)", "import os"), "cell 15", "set-up cell, cell 2"),
    "no seed": (edit(1, "seed(11)", "None"), "cell 2", "seed"),
    "leftover metadata": (retag(14, execution={}), "cell 15", "metadata 'execution' (make run"),
    "directive": (edit(2, "It is", "```{note}\nIt is\n```"), "cell 3", "directive ({note}); write a block quote"),
    "colon directive": (edit(2, "It is", ":::{note}\nIt is\n:::"), "cell 3", "directive (:::)"),
    "role": (edit(2, "It is", "{cite}`x` is"), "cell 3", "a role ({cite}`x`); write"),
    "label": (edit(2, "It is", "(here)=\nIt is"), "cell 3", "a label"),
    "HTML": (edit(2, "It is", "It <b>is</b>"), "cell 3", "HTML (b); only"),
    "HTML comment": (edit(2, "It is", "<!-- It is -->"), "cell 3", "HTML (comment)"),
    "macro": (edit(2, "q := 1", r"\newcommand{\q}{1} q := 1"), "cell 3", "macro of its own"),
    "bare environment": (edit(2, "It is", r"\begin{align} 1 \end{align}"), "cell 3", "aligned"),
    "unfinished": (edit(2, "It is", "TODO the rest"), "cell 3", "still to write"),
    "dead link": (edit(0, "other.ipynb#its-heading", "gone.ipynb"), "cell 1", "leads nowhere; correct"),
    "dead heading": (edit(0, "#its-heading", "#no-heading"), "cell 1", "names no heading of other.ipynb"),
    "dead heading here": (edit(2, "(#derivation)", "(#proof)"), "cell 3", "names no heading of rope.ipynb"),
    "link to an unlisted chapter": (edit(0, "other.ipynb#its-heading", "unlisted.ipynb"), "cell 1", "_toc.yml"),
    "absolute link": (edit(2, "#derivation", "/derivation"), "cell 3", "make it relative"),
    "dead picture": (edit(2, "It is", "![x](x.png)"), "cell 3", "'x.png' leads nowhere"),
    "picture without text": (edit(2, "It is", "![](other.ipynb)"), "cell 3", "no alternative text"),
    "stderr": (output(14, output_type="stream", name="stderr", text="oh"), "cell 15", "stderr; mend"),
    "error": (output(14, output_type="error", ename="ValueError"), "cell 15", "an error (ValueError); mend"),
    "absolute path": (reprint(14, "0.123", "in /home/me/x"), "cell 15", "absolute path; print"),
    "script": (output(14, output_type="display_data", data={"text/markdown": "<Script src=x></script>"}), "cell 15", "a script; an"),
    "foreign address": (reprint(14, "0.123", "see https://example.org/x"), "cell 15", "an address; what"),
    "output of HTML": (output(14, output_type="display_data", data={"text/html": "<b>1</b>"}), "cell 15", "the output is text/html"),
    "picture with a text": (output(13, output_type="display_data", data={"image/png": SIGNED}), "cell 14", "the picture holds a text"),
    "warning": (reprint(14, "0.123", "UserWarning: x"), "cell 15", "a warning; mend"),
    "progress bar": (reprint(14, "0.123", " 40%|####  | 4/10"), "cell 15", "progress bar; import tqdm"),
    "speed": (reprint(14, "0.123", "12.5it/s"), "cell 15", "progress bar"),
    "timestamp": (reprint(14, "0.123", "2026-01-02 03:04"), "cell 15", "timestamp; do not"),
    "address": (reprint(14, "0.123", "<f at 0x7f2a1b3c>"), "cell 15", "memory address; end"),
    "large file": (edit(2, "It is", "It is " * 300_000), "MB", "fewer or smaller figures"),
    "minutes to read typed": (edit(0, "45 minutes", "30 minutes to read, 45"), "header", "the build computes"),
    "two sentences for a question": (edit(0, "What does a turn", "We turn. What does that"), "header", "in one sentence"),
    "a question of two": (edit(0, "of 0.5 do?", "do? And why?"), "header", "in one sentence"),
    "no question mark": (edit(0, "0.5 do?", "0.5 does."), "header", "question mark"),
    "a long question": (edit(0, "of 0.5", "of a half " * 8), "header", "at most 25 words"),
    "outcome without exercise": (edit(0, "rotate (exercise 1)", "rotate"), "header", "'rotate' names no exercise"),
    "outcome of no exercise": (edit(0, "exercises 2, 3", "exercises 2, 7"), "header", "names exercise 7"),
    "another title": (edit(0, "rotary position", "turning"), "header", "syllabus.yml says 'RoPE: rotary position"),
    "open check": (open_up(4), "cell 5", "a check stands open"),
    "check with its line hidden": (retag(4, tags=["hide-cell"]), "cell 5", "hides its output; fold it with"),
    "check without a title": (edit(4, "#@title Check of (1)", "# It is"), "cell 5", "a check needs a title"),
    "check of another number": (edit(4, "Check of (1)", "Check of (2)"), "cell 5", "write '#@title Check of (1): …'"),
    "check of two numbers": (reprint(4, "fact", "fact\n✓ (3) exact · 0 · a"), "cell 5", "'#@title Check of (1) and (3): …'"),
    "check of 26 lines": (edit(4, "got = ", "got = 0\n" * 24 + "got = "), "cell 5", "26 lines; a check has at most 25"),
    "check that draws": (edit(4, "got = ", "plt.plot(1)\ngot = "), "cell 5", "a check draws"),
    "name taken from a check": (edit(RESULT, "loss", "got"), "cell 15", "uses got, which the check in cell 13"),
    "name that a function takes": (edit(METHOD_CELL, "base * x", "got * x"), "cell 16", "uses got, which the check"),
    "name taken by another check": (edit(6, "got = turn(2)\n", ""), "cell 7", "uses got, which the check in cell 5"),
    "name taken by a drawing": (edit(FIGURE_CELL, "show()", "plot(got)"), "cell 14", "uses got, which the check"),
    "name that leaks": (edits(edit(4, "got =", "for k in []: pass\ngot ="), edit(RESULT, "loss", "k")), "cell 15", "uses k"),
    "name taken from a drawing": (edits(edit(FIGURE_CELL, "plt.", "a = plt."), edit(RESULT, "loss", "a")), "cell 15", "drawing"),
    "name of another exercise": (edits(edit(EXERCISE + 1, "check =", "own = 1\ncheck ="), edit(EXERCISE + 6, "...", "... + own")), "cell 26", "the exercise 1 in cell 21"),
    "parameter for checks": (edits(edit(4, "turn(1)", "turn(1, base=2)"), edit(15, ", base=0.5", "")), "cell 16", "'base' of turn"),
    "position for checks": (edits(edit(4, "turn(1)", "turn(1, 2)"), edit(15, ", base=0.5", "")), "cell 16", "'base' of turn"),
    "partial for checks": (edits(edit(4, "turn(1)", "partial(turn, base=2)"), edit(15, ", base=0.5", "")), "cell 16", "'base'"),
    "slip handed on": (edit(METHOD_CELL, "base=1.0", "base=1.0, **slip"), "cell 16", "remove **slip from turn"),
    "slip without its text": (slip_in_check("x + base"), "cell 17", "'x + base' stands 0 times in turn; hand claims.slip"),
    "slip of a text that stands twice": (slip_in_check("base"), "cell 17", "'base' stands 2 times in turn"),
    "open set-up": (open_up(1), "cell 2", "a set-up stands open"),
    "set-up without a title": (edit(1, "#@title Set-up", "# Set-up"), "cell 2", "a set-up needs a title"),
    "open drawing": (open_up(FIGURE_CELL), "cell 14", "a drawing stands open"),
    "figure without a title": (edit(FIGURE_CELL, "Figure: ", ""), "cell 14", "'#@title Figure: what it shows'"),
    "folded method": (retag(METHOD_CELL, **SHOWING), "cell 16", "open the method"),
    "fold without a title": (edit(EXERCISE + 1, "#@title", "#"), "cell 21", "a folded cell has no title"),
    "np.testing": (edit(RESULT, "print", "np.testing.assert_allclose"), "cell 15", "np.testing is a second language"),
    "assert": (edit(RESULT, "print(loss)", "assert loss"), "cell 15", "assert is a second language of checks"),
    "measured without a control": (reprint(6, "exact", "measured"), "cell 7", "measured without a control; hand it"),
    "no production": (edit(IN_PRODUCTION, "## In production", "## Elsewhere"), "no section '## In production'"),
    "another table": (edit(IN_PRODUCTION, "| Function |", "| Name |"), "In production", "begin the table with | Library"),
    "empty table": (edit(IN_PRODUCTION, "\n" + PRODUCTION.splitlines()[-1], ""), "In production", "the table has no row"),
    "no version": (edit(IN_PRODUCTION, "torch 2.13.0", "torch"), "In production", "'torch' is no library and version"),
    "short row": (edit(IN_PRODUCTION, "the pairs differ |", "|"), "In production", "does not fill the columns"),
    "long core": (edit(2, "It is", "It is " * 4000), "the core takes", "at most 60: cut the page to its line of argument"),
    "no question": (remove(ASKED), "section 'Derivation'", "0 questions; end it with exactly one"),
    "two questions": (edit(2, "It is", QUESTION), "section 'Derivation'", "2 questions; end it with exactly one"),
    "open answer": (edit(ASKED, "<summary>Answer</summary>", ""), "section 'Derivation'", "its folded answer do not end it"),
    "no answer": (edit(ASKED, "One.\n\n", ""), "section 'Derivation'", "its folded answer do not end it"),
    "question of two lines": (edit(ASKED, " of two", "\n> of two"), "section 'Derivation'", "its folded answer do not"),
    "question before a code cell": (edits(remove(ASKED), edit(11, "Therefore", QUESTION)), "section 'Derivation'", "do not end it"),
    "much code": (edit(RESULT, "print(loss)", "print(loss)\n" * 150), "the core shows 153 lines of code", "at most 150"),
}  # fmt: skip


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_refused_with_place_and_remedy(book, name):
    mutate, *words = VIOLATIONS[name]
    cells = good_cells()
    mutate(cells)
    found = violations(book, notebook(cells))
    assert any(all(word in line for word in words) for line in found), "\n".join(found)


ALLOWED = {
    "several numbers": edits(edit(4, "(1)", "(1), (2) and (3)"), reprint(4, "fact", "fact\n✓ (2) cost · equal · a\n✓ (3) cost · equal · b")),
    "a slip whose text stands there once": slip_in_check("base * x"),
    "a slip in an open cell": edit(METHOD_CELL, "half = turn(2, base=0.5)", "half = claims.slip(turn, '*', '+')(2, base=0.5)"),
    "a parameter that the method itself passes": edit(4, "turn(1)", "turn(1, base=2)"),
    "a parameter that only a drawing passes": edits(edit(METHOD_CELL, ", base=0.5", ""), edit(FIGURE_CELL, "show()", "plot(turn(1, base=2))")),
    "a name defined anew": edits(edit(4, "got =", "loss = got ="), edit(RESULT, "print(loss)", "loss = 1\nprint(loss)")),
    "a local name": edits(edit(4, "got =", "x = got ="), edit(RESULT, "print(loss)", "print([x for x in ()], lambda x: x)")),
    "a folded table": edits(retag(RESULT, tags=["hide-input"], **HIDDEN), edit(RESULT, "print", "#@title Table: losses\nprint")),
    "asserts in a checker": edit(EXERCISE + 1, "check =", "assert rng\ncheck ="),
    "a function of one's own exercise": edits(edit(EXERCISE + 1, "check =", "own = 1\ncheck ="), edit(EXERCISE + 3, "wrong", "own")),
    "a long section for the curious": edit(2, "## Derivation", "## Derivation\n\n### Deeper: more\n\n" + "word " * 9000 + "\n\n### The rest"),
    "a deeper part after the question": edit(ASKED, "</details>", "</details>\n\n### Deeper: more\n\nWords."),
    "a correction without a question": edit(ASKED, "</details>", "</details>\n\n## Correction\n\nWords."),
    "a question at the end of other words": edit(ASKED, "> **Q", "So it is.\n\n> **Q"),
    "a written solution of any length": edit(EXERCISE, "Write `f`.", "Write `f`. " + "word " * 9000),
    "a final full stop": edit(0, "(exercises 2, 3)", "(exercises 2, 3)."),
    "Windows' ends of lines": lambda cells: [cell.update(source=cell["source"].replace("\n", "\r\n")) for cell in cells],
}  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_what_looks_like_a_violation_is_allowed(book, name):
    cells = good_cells()
    ALLOWED[name](cells)
    assert violations(book, notebook(cells)) == []


def test_rows_in_production_need_a_test(book):
    (book.parents[1] / "tests" / "production" / "test_rope.py").unlink()
    (found,) = violations(book, notebook(good_cells()))
    assert "tests/production/test_rope.py is missing; pin each row" in found


def test_metadata_and_incomplete_runs_are_refused(book):
    content = notebook(good_cells())
    content["metadata"] |= {"course": {"digest": "12", "minutes": 3}, "widgets": {}}
    content["cells"][4]["execution_count"] = None
    found = "\n".join(violations(book, content))
    for expected in ("syllabus.yml says '11'", "'course.minutes'", "'widgets'", "cell 5", "store the outputs of one complete run"):
        assert expected in found
    assert "no chapter 'stray'" in "\n".join(violations(book, content, "stray.ipynb"))


def test_a_chapter_in_another_part_is_refused(book):
    folder = book.parent / "vision"
    folder.mkdir()
    assert "the chapter belongs in book/attention/" in "\n".join(violations(folder, notebook(good_cells())))


def test_the_book_has_a_largest_size(book):
    root = book.parents[1]
    assert contract.book_violations(root) == []
    (book / "large.bin").write_bytes(bytes(31_000_000))
    assert "keep it under 30" in contract.book_violations(root)[0]


@pytest.mark.parametrize(("stored", "passes"), [("2\n", True), ("3\n", False)])
def test_a_stale_output_is_refused(tmp_path: Path, stored, passes):
    path = tmp_path / "tiny.ipynb"
    path.write_text(json.dumps(notebook([code("print(1 + 1)", stored)])))
    options = ["--nbval", "--nbval-current-env", "-p", "no:xdist", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    run = subprocess.run([sys.executable, "-m", "pytest", *options, str(path)], capture_output=True, text=True)
    assert (run.returncode == 0) is passes, run.stdout
    assert passes or "mismatch" in run.stdout and "Cell 0" in run.stdout
