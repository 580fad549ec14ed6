"""Begin a chapter: a notebook that runs and builds, and whose contract failures list what is still to write.

    python book/_tools/new_chapter.py PART SLUG
"""

import json
import sys

from execute import METADATA
from toolbox import ROOT, in_plain_words, syllabus

from lib.chapter.files import replace_text
from lib.chapter.notebook import PRODUCTION_HEAD

HEADER = """# {title}

> **Source note.** TODO: what the note says, in two or three sentences of our own.

- **Question:** TODO: what this chapter asks, in one plain sentence?
- **Sources:** TODO: links, each with what it gives.
- **You will be able to:** TODO: write the method from nothing (exercise 1); TODO: say what it costs (exercise 2); \
TODO: derive it on paper (exercise 3)
- **Needs:** TODO: links to chapters of the book, or nothing beyond linear algebra, calculus and probability.
- **Time:** 45 minutes to work"""

SET_UP = """#@title Set-up: imports and seed
import matplotlib.pyplot as plt

from lib.course import claims, exercises, figures
from lib.course.training import seed

figures.use_style()
rng = seed({number})"""

FIGURE = """#@title Figure: twice a number
_, axes = plt.subplots()
figures.curves(axes, {"twice": ([0, 1], [0, 2])}, xlabel="x", ylabel="f(x)")
plt.show()"""

DERIVATION = r"""## Derivation

TODO: short steps from the naive form on: prose, a numbered equation, the method in an open cell, its check folded.

$$ 2x = x + x \tag{1} $$"""

METHOD = """def twice(x):
    return x + x"""

CHECK = """#@title Check of (1): a sum against a product
x = rng.normal(size=100)
squared = claims.slip(twice, "x + x", "x * x")
claims.exact(1, twice(x), 2 * x, atol=0, what="100 draws", unlike={"multiplied": squared(x)})"""

QUESTION = """> **Question.** TODO: one line, answered in a minute by a reader who followed the section.

<details>
<summary>Answer</summary>

TODO: two or three sentences, with the number or the formula.

</details>"""

SECTIONS = {
    "Cost": f"operations, memory or error order, counted.\n\n{QUESTION}",
    "Experiment": f"what the source claims, what we ran, what we saw, and where ours differs.\n\n{QUESTION}",
    "Correction": "the loose claim in our words, what is right, and its check; or remove this section.",
    "In production": "what libraries really compute, each row pinned by a test in tests/production/.\n\n"
    f"| {' | '.join(PRODUCTION_HEAD)} |\n|---|---|---|---|",
    "Deeper: generalisations": "what the line of argument does not need; or remove this section.",
}

CHECKER = """#@title Checker for exercise {n}
@exercises.checker({n}, hint="add x to itself")
def check_{n}(answer):
    exercises.same(answer(3.0), 6.0, "For x = 3", atol=0)"""

STUB = """def f_{n}(x):
    ...

check_{n}(f_{n})"""

SOLUTION = """#@title Solution to exercise {n}
def solution_{n}(x):
    return x + x

check_{n}.prove(solution_{n}, wrong={{"multiplied": claims.slip(solution_{n}, "x + x", "x * x")}})"""

WRITTEN = "\n\n<details><summary>Written solution</summary>\n\nTODO: the derivation.\n\n</details>"

LAST = "## What to remember\n\nTODO: five lines, the next chapters, and the section of each source that a number came from."


def markdown(source: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source: str, fold: str = "") -> dict:
    """A code cell; `fold` is the tag of a folded one: hide-input shows its output, hide-cell does not."""
    metadata = {"tags": [fold], "jupyter": {"source_hidden": True}, "cellView": "form"} if fold else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}


def template(title: str, digest: str) -> dict:
    """The notebook of a chapter that is still to be written."""
    figure = code(FIGURE, "hide-input")
    figure["metadata"]["mystnb"] = {
        "image": {"alt": "A straight line from (0, 0) to (1, 2)."},
        "figure": {"caption": "Twice a number grows twice as fast as the number."},
    }
    cells = [
        markdown(HEADER.format(title=title)),
        code(SET_UP.format(number=int(digest)), "hide-input"),
        markdown("## Why\n\nTODO: the question, the smallest example that shows it, and a picture of the idea before any formula."),
        figure,
        markdown(QUESTION),
        markdown(DERIVATION),
        code(METHOD),
        code(CHECK, "hide-input"),
        markdown(QUESTION),
    ]
    cells += [markdown(f"## {name}\n\nTODO: {task}") for name, task in SECTIONS.items()]
    cells.append(markdown("## Exercises"))
    for n in (1, 2, 3):
        on_paper = " (on paper)" if n == 3 else ""
        statement = "TODO: what to write, its inputs and outputs with shapes; then its checker, stub and solution."
        heading = f"### Exercise {n} {'★' * n} · Double a number{on_paper} · 5 minutes"
        cells.append(markdown(f"{heading}\n\n{statement}{WRITTEN if on_paper else ''}"))
        cells += [code(CHECKER.format(n=n), "hide-cell"), code(STUB.format(n=n)), code(SOLUTION.format(n=n), "hide-cell")]
    cells.append(markdown(LAST))
    for number, cell in enumerate(cells, 1):
        cell["id"] = f"cell-{number:03d}"
    return {"cells": cells, "metadata": {"course": {"digest": digest}} | METADATA, "nbformat": 4, "nbformat_minor": 5}


@in_plain_words
def main(part: str, slug: str) -> None:
    planned = {(p["part"], c["slug"]): c for p in syllabus() for c in p["chapters"]}
    if (part, slug) not in planned:
        of_part = [s for p, s in planned if p == part]
        parts = dict.fromkeys(p for p, _ in planned)
        known = f"in {part} it has {', '.join(of_part)}" if of_part else f"its parts are {', '.join(parts)}"
        sys.exit(f"The syllabus, book/syllabus.yml, has no chapter PART={part} SLUG={slug} ({known}).")
    path = ROOT / "book" / part / f"{slug}.ipynb"
    if path.exists():
        sys.exit(f"{path.relative_to(ROOT)} exists already: edit it, or remove it first.")
    path.parent.mkdir(exist_ok=True)
    chapter = planned[part, slug]
    content = template(chapter["title"], chapter["digest"])
    replace_text(path, json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n")
    print(
        f"Made {path.relative_to(ROOT)}. Work on it with make lab; make run CHAPTER={slug} stores its outputs and lists "
        f"what is still to write. When nothing is left, add book/{part}/{slug} to _toc.yml."
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
