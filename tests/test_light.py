"""What a page of the site does without: a script for icons, icons that nobody sees, elements around names in code."""

from course_site.light import LeanFormatter, lean_style, lighten_pages, with_sizes
from PIL import Image
from pygments import highlight
from pygments.lexers import PythonLexer

RULES = '.fa-ad:before{content:"\\f641"}.fa-list:before,.fa-list-ul:before{content:"\\f0ca"}.other:before{content:"\\f000"}'
FACE = '@font-face{font-weight:900;src:url(../v/fa-solid-900.woff2) format("woff2"),url(../v/fa-solid-900.ttf) format("truetype")}'


def test_rules_of_icons_that_no_page_shows_go_with_their_characters():
    style, characters = lean_style(RULES + ':root{--pst-icon-bell:"\uf0f3"}' + FACE, {"fa-list-ul", "fa-solid"})
    assert style.startswith('.fa-list:before,.fa-list-ul:before{content:"\\f0ca"}.other:before')
    assert characters == {0xF0CA, 0xF0F3}
    assert style.endswith("src:url(../vendor/fontawesome/webfonts/fa-solid-900.woff)}")


def test_names_and_brackets_get_no_element_and_the_text_stays():
    code = "def f(x):\n    return x + g(1)  # why\n"
    html = highlight(code, PythonLexer(), LeanFormatter(nowrap=True))
    assert html.count("<span") == 5  # def, f, return, +, 1 and the comment
    assert 'class="nf">f</span>(x):' in html


def test_pictures_get_their_size_once_and_others_stay(tmp_path):
    Image.new("1", (30, 20)).save(tmp_path / "a.png")
    html = '<img alt="x" src="a.png" /><img src="data:image/png;base64,AA" /><img src="b.svg"/>'
    lean = with_sizes(html, tmp_path)
    assert lean == '<img loading="lazy" width="30" height="20" alt="x" src="a.png"/>' + html[html.index("<img src=\"data") :]
    assert with_sizes(lean, tmp_path) == lean


def test_the_script_for_icons_goes_from_every_page_and_others_stay(tmp_path):
    page = tmp_path / "deep" / "page.html"
    page.parent.mkdir()
    page.write_text('<head>\n  <script defer src="../_static/scripts/fontawesome.js?digest=5"></script>\n<script src="course.js"></script></head>')
    lighten_pages(tmp_path)
    assert page.read_text() == '<head>\n<script src="course.js"></script></head>'
