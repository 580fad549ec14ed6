"""The edits that break a method, which of a chapter's cells they are drawn from, and what notices them."""

import nbformat.v4 as v4
import pytest
from edits import sites
from mutants import drawn, method_sites, noticed, report, without_figures


def edited(source: str) -> set[str]:
    return {edit.of(source) for edits in sites(source) for edit in edits}


def folded(source: str, tag: str = "hide-input"):
    return v4.new_code_cell(source, metadata={"tags": [tag]})


@pytest.mark.parametrize(
    ("source", "afters"),
    [
        ("f(a + b)", ["f(a - b)", "f(a)", "f(b)"]),
        ("f(a - b)", ["f(a + b)", "f(a)", "f(-b)"]),
        ("f((a + b) * c)", ["f((a - b) * c)", "f((a) * c)", "f((b) * c)", "f((a + b) / c)"]),
        ("y = a / b", ["y = a * b", "y = -(a / b)"]),
        ("f(a @ b)", ["f(a * b)"]),
        ("f(a ** n)", ["f(a * n)"]),
        ("y += x", ["y -= x"]),
        ("f(-x)", ["f(x)"]),
        ("f(not x)", ["f( x)"]),
        ("a < b", ["a <= b", "a > b"]),
        ("a is not b", ["a is b"]),
        ("a and b", ["a or b"]),
        ("f(0)", ["f(1)"]),
        ("f(1)", ["f(2)", "f(0)"]),
        ("f(2.0)", ["f(3.0)"]),
        ("f(True)", ["f(False)"]),
        ("f(x, y)", ["f(y, x)"]),
        ("x.sum(axis=-1)", ["x.mean(axis=-1)", "x.sum(axis=0)", "x.sum(axis=1)"]),
        ("np.sin(x)", ["np.cos(x)"]),
        ("max(x, y)", ["min(x, y)"]),
        ("lambda x=0: x", ["lambda x=1: x"]),
        ("é = f(é, (a))  # a < b", ["é = f(a, (é))  # a < b"]),
        ("f(a  # not +\n  + b)", ["f(a  # not +\n  - b)", "f(a  # not +\n)", "f(b)"]),
    ],
)
def test_every_edit_of_a_place(source, afters):
    assert edited(source) == set(afters)


@pytest.mark.parametrize(
    "source",
    [
        '"""One + 1."""',
        'f("a label")',
        "f'{x + 1}'",
        "print(x + 1)",
        "assert x + 1 == 2",
        "claims.exact(1, a + b, c, atol=1e-12)",
        "np.testing.assert_allclose(a + b, c, rtol=0)",
        "plt.plot(x, x + 1)",
        "axes[0].plot(x, x + 1)",
        "rng = np.random.default_rng(0)",
        "KFold(random_state=0)",
        "def f(x: 1) -> 2:\n    pass",
        "f(a, a)",
        "zip(a, b)",
    ],
)
def test_what_is_no_method_is_left_alone(source):
    assert edited(source) == set()


def test_an_edit_tells_its_line_before_and_after():
    source = "def f(x):\n    return g(\n        x) + 1\n"
    told = {edit.lines(source) for edits in sites(source) for edit in edits}
    assert (3, "x) + 1", "x) - 1") in told
    assert (2, "return g( x) + 1", "return -(g( x) + 1)") in told


def test_edits_are_drawn_from_open_cells_and_from_functions_of_the_set_up():
    notebook = v4.new_notebook(
        cells=[
            folded("n = 2\ndef helper(x):\n    return x - n"),
            v4.new_code_cell("y = x[..., 3]"),
            v4.new_code_cell("def answer(x):\n    ...\n\ncheck_it(answer, 4)"),
            v4.new_markdown_cell("1 + 1"),
            folded("#@title Check of (1): f(5)\ndef g(x):\n    return x + 5"),
            folded("#@title Checker for exercise 1\ndef g(x):\n    return x + 6", "hide-cell"),
            folded("#@title Solution to exercise 1\ndef g(x):\n    return x + 7", "hide-cell"),
            folded("#@title Figure: f\ndef g(x):\n    return x + 8"),
        ]
    )
    sources = {mutant.of(notebook).cells[mutant.cell].source for place in method_sites(notebook) for mutant in place}
    helper = ("x + n", "x", "-n", "-(x - n)")
    assert sources == {"y = x[..., 4]", *(f"n = 2\ndef helper(x):\n    return {body}" for body in helper)}


def test_a_draw_depends_on_its_seed_alone_and_repeats_nothing():
    notebook = v4.new_notebook(cells=[v4.new_code_cell("y = a + b * c - f(1, 0.5)"), v4.new_code_cell("z = y < 3")])
    some = drawn(notebook, 6, "0 rope")
    assert some == drawn(notebook, 6, "0 rope") != drawn(notebook, 6, "1 rope")
    every = drawn(notebook, 1000, "0 rope")
    assert len(every) == len(set(every)) == sum(map(len, method_sites(notebook)))


def test_drawing_cells_are_left_out_unless_a_later_cell_needs_them():
    figure = folded("#@title Figure: f\ncurve = f(x)\nplt.plot(curve)")
    for later, kept in (("print(curve)", True), ("curve = 1", False), ("print(x)", False)):
        notebook = v4.new_notebook(cells=[v4.new_code_cell("x = 1"), figure, v4.new_code_cell(later)])
        short = without_figures(notebook)
        assert [bool(cell.source) for cell in short.cells] == [True, kept, True]
        assert notebook.cells[1].source


def test_an_edit_is_noticed_by_an_error_or_by_a_compared_output():
    right = {"error": None, "printed": ["", "✓ (1)", "3 turns"]}
    assert noticed(right, right) is None
    raised = {"cell": 2, "kind": "ClaimFailed", "message": "(1)"}
    assert noticed({"error": raised, "printed": ["", "", ""]}, right) == raised
    other = noticed({"error": None, "printed": ["", "✓ (1)", "4 turns"]}, right)
    assert other == {"cell": 3, "kind": "OtherOutput", "message": "4 turns"}


def test_the_report_counts_by_chapter_and_names_the_survivors():
    def error(kind):
        return {"cell": 2, "kind": kind, "message": ""}

    kinds = ("ClaimFailed", "UselessCheck", "OtherOutput", "OutOfTime", "NameError")
    outcomes = [*((f"edit {kind}", error(kind)) for kind in kinds), ("cell 3 · line 1: a → b", None)]
    text = report({"rope": outcomes, "gau": []})
    for chapter in ("rope", "all "):
        row = next(line for line in text.splitlines() if line.startswith(f"| {chapter}"))
        assert [int(count) for count in row.split("|")[2:-1]] == [6, 5, 2, 1, 1, 1]
    assert text.endswith("Survivors: 1\n- rope · cell 3 · line 1: a → b")
