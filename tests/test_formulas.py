"""Formulas typeset at build time: what MathJax answers, the drawing, the MathML, the font and what is kept."""

import base64
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from course_site import formulas
from course_site.formulas import font, markup, mathml, typesetter
from course_site.search import CourseBuilder
from fontTools.ttLib import TTFont
from sphinx.builders.html import StandaloneHTMLBuilder


@pytest.fixture(scope="module")
def setter(tmp_path_factory):
    made = typesetter.Typesetter(tmp_path_factory.mktemp("formulas") / "formulas.json", "now")
    yield made
    made.close()


def letters(html: str) -> str:
    return "".join(re.findall(r">([^<]*)</text>", html))


def test_one_text_for_each_size_and_one_path_for_all_bars(setter):
    html = markup.drawing(setter.typeset(r"\frac{a_1}{b_2}+\frac cd", display=True), breakable=True)
    assert html.count("<svg") == 1 and html.count("<text") == 2 and html.count("<path") == 1
    assert len(letters(html)) == 7


def test_the_box_is_measured_in_heights_of_an_x(setter):
    html = markup.drawing(setter.typeset("x", display=False), breakable=True)
    width, (*_, wide, high) = float(re.search(r'width="([\d.]+)ex"', html)[1]), re.search('viewBox="(.*?)"', html)[1].split()
    assert width * int(high) / int(wide) == pytest.approx(1, abs=0.03)
    assert "vertical-align:-0.02" in html  # an x reaches 11 thousandths of an em below the line


def test_letters_stand_where_mathjax_puts_them(setter):
    """The steps from letter to letter, and their widths, lead to the places, to a thousandth of an em."""
    typeset = setter.typeset(r"a_{ij}=\sum_{k}b_{ik}c_{kj}^2", display=True)
    for scale in {glyph[4] for glyph in typeset["glyphs"]}:
        placed = [("", width * scale, x, y) for _, width, x, y, size in typeset["glyphs"] if size == scale]
        html = markup.text(round(1000 * scale), placed)
        steps = {name: list(map(int, values.split())) for name, values in re.findall(r' (dx|dy)="([^"]*)"', html)}
        at = [0, 0]
        for i, (_, width, x, y) in enumerate(placed):
            at = [at[k] + (steps.get(name, [])[i : i + 1] or [0])[0] for k, name in enumerate(("dx", "dy"))]
            assert at == pytest.approx([x, y], abs=0.51)
            at[0] += width


def test_a_text_begins_with_its_leftmost_letter():
    """A browser puts a text's left edge where its first letter should stand."""
    html = markup.text(1000, [("b", 500, 900, 0), ("c", 500, 1400, 0), ("a", 800, 10, 7)])
    assert html == '<text dx="10 90" dy="7 -7">abc</text>'


def test_plain_characters_are_themselves_and_others_private(setter):
    shown = letters(markup.drawing(setter.typeset(r"x<1+\log\alpha", display=False), breakable=False))
    assert shown[:3] == "x&l" and "1+" in shown  # < is escaped
    assert all("\ue000" <= letter for letter in shown[-4:])


def test_a_letter_keeps_its_place_when_the_font_grows(tmp_path):
    """Pages that are not made again show the letters of an earlier build."""
    texts = []
    for order in (("x", "y"), ("y", "x")):
        setter = typesetter.Typesetter(tmp_path / "none.json", "now")
        texts.append({tex: letters(markup.drawing(setter.typeset(tex, display=False), breakable=True)) for tex in order})
        setter.process.kill()
        setter.process.communicate()
    assert texts[0] == texts[1]


def test_wide_formulas_within_a_line_break_after_relations(setter):
    html = markup.drawing(setter.typeset("a+b+c=d+e+f", display=False), breakable=True)
    assert [len(letters(piece)) for piece in html.split("<wbr>")] == [6, 5]
    narrow = markup.drawing(setter.typeset("a=b", display=False), breakable=True)
    assert "<wbr>" not in narrow


def test_displays_do_not_break(setter):
    translator = SimpleNamespace(builder=SimpleNamespace(app=SimpleNamespace(formulas=setter)))
    html = formulas.html_of(translator, SimpleNamespace(astext=lambda: "a+b+c+d+e+f+g=h"), display=True)
    assert html.count("<svg") == 1


def test_very_wide_ones_break_after_signs_too(setter):
    html = markup.drawing(setter.typeset("a+b+c+d+e+f+g=h", display=False), breakable=True)
    assert [len(letters(piece)) for piece in html.split("<wbr>")] == [2] * 7 + [1]


def test_pieces_are_as_wide_as_the_whole(setter):
    typeset = setter.typeset("a+b+c+d=e+f+g", display=False)
    widths = [float(width) for width in re.findall(r' width="([\d.]+)ex"', markup.drawing(typeset, breakable=True))]
    assert sum(widths) * markup.X_HEIGHT == pytest.approx(typeset["width"], rel=1e-3)


def test_stretched_brackets_keep_their_drawing(setter):
    tall = setter.typeset(r"\begin{cases}1\\2\\3\\4\\5\end{cases}", display=True)
    html = markup.drawing(tall, breakable=False)
    assert tall["rest"] and '<g transform="scale(1 -1)">' in html


def test_errors_are_told(setter):
    assert setter.typeset("\\frac{", display=True)["error"] == "Missing close brace"
    assert setter.typeset("x", display=False)["error"] == ""


def test_a_refused_formula_is_a_warning(setter, monkeypatch):
    told = []
    monkeypatch.setattr(formulas.LOGGER, "warning", lambda *arguments, **_: told.append(arguments[0] % arguments[1:]))
    translator = SimpleNamespace(builder=SimpleNamespace(app=SimpleNamespace(formulas=setter)))
    formulas.html_of(translator, SimpleNamespace(astext=lambda: "\\nosuchmacro"), display=False)
    assert told == [r"MathJax: Undefined control sequence \nosuchmacro in '\\nosuchmacro'"]


@pytest.mark.parametrize(
    "tex, expected",
    [
        ("x_1", "<math><msub><mi>x</mi><mn>1</mn></msub></math>"),
        (r"{\displaystyle x}\,y", "<math><mi>x</mi><mi>y</mi></math>"),
        (r"\log x", "<math><mi>log</mi><mi>x</mi></math>"),
        (r"\frac{a+b}2", "<math><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac></math>"),
        ("{}^2", "<math><msup><mrow></mrow><mn>2</mn></msup></math>"),
        ("a<b", "<math><mi>a</mi><mo>&lt;</mo><mi>b</mi></math>"),
    ],
)
def test_mathml_has_what_is_heard(setter, tex, expected):
    assert mathml.lean(setter.typeset(tex, display=False)["mathml"]) == expected


def test_the_font_holds_the_glyphs_as_drawn(setter):
    setter.typeset("x", display=False)
    sheet = font.style_sheet(setter.shapes)
    loaded = TTFont(io.BytesIO(base64.b64decode(re.search("base64,([^\"]+)", sheet)[1])))
    name = loaded.getBestCmap()[ord("x")]
    box = loaded["glyf"][name]
    assert (box.yMin, box.yMax) == (-11, 442) and loaded["hmtx"][name][0] == 572  # MathJax's x
    assert font.style_sheet(setter.shapes) == sheet, "the same glyphs give the same file"


def test_what_is_kept_is_not_asked_again(tmp_path):
    path = tmp_path / "formulas.json"
    first = typesetter.Typesetter(path, "now")
    answer = first.typeset("x^2", display=True)
    first.close()
    second = typesetter.Typesetter(path, "now")
    assert second.typeset("x^2", display=True) == answer and second.process is None
    assert second.shapes == first.shapes
    assert typesetter.Typesetter(path, "later").shapes == {}, "kept by another program"


def test_damage_to_what_is_kept_costs_a_new_start(tmp_path):
    path = tmp_path / "formulas.json"
    for text in ("", "{", "[]", json.dumps({"formulas": {}})):
        path.write_text(text)
        assert typesetter.Typesetter(path, "now").shapes == {}


def test_all_pages_are_written_when_no_formula_is_kept(tmp_path, monkeypatch):
    """Else the font would have the letters of the pages alone that changed."""
    monkeypatch.setattr(StandaloneHTMLBuilder, "get_outdated_docs", lambda builder: {"changed"})
    builder = object.__new__(CourseBuilder)
    builder.env, path = SimpleNamespace(found_docs={"changed", "same"}), tmp_path / "formulas.json"
    builder.app = SimpleNamespace(formulas=typesetter.Typesetter(path, "now"))
    assert builder.get_outdated_docs() == {"changed", "same"}
    builder.app.formulas.typeset("x", display=False)
    builder.app.formulas.close()
    for made_with, written in {"now": {"changed"}, "another": {"changed", "same"}}.items():
        builder.app = SimpleNamespace(formulas=typesetter.Typesetter(path, made_with))
        assert builder.get_outdated_docs() == written


def test_without_node_pages_load_the_script(monkeypatch):
    monkeypatch.setattr(typesetter, "node", lambda: Path("/nowhere/node"))
    assert not typesetter.node_runs()
    told = []
    monkeypatch.setattr(formulas, "node_runs", lambda: False)
    monkeypatch.setattr(formulas.LOGGER, "info", told.append)
    config = SimpleNamespace(html_math_renderer=None)
    formulas.choose_renderer(None, config)
    assert config.html_math_renderer == "mathjax" and "node cannot run" in told[0]
