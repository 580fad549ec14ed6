"""Printing: dark text on white from dark mode too, and nothing that only a screen can do."""

import re
from pathlib import Path

# The theme's colours and those of code, each under `html[data-theme="light"]`.
STYLES = ("styles/pydata-sphinx-theme.css", "styles/sphinx-book-theme.css", "pygments.css")
_LIGHT = re.compile(r'html\[data-theme="?light"?\]( \.highlight[^{},]*)?\s*\{([^{}]*)\}')


def light_on_paper(style: str) -> str:
    """A style sheet's light colours as rules for dark mode, to be used in print."""
    found = _LIGHT.findall(style)
    return "".join(f'html[data-theme="dark"]{place.rstrip()}{{{rule.strip()}}}\n' for place, rule in found)


def write_style(app, exception):
    """Put the light colours before the book's own rules for paper, once Sphinx has written its style sheets."""
    static = Path(app.outdir, "_static")
    styles = [static / style for style in STYLES]
    if exception is None and all(style.exists() for style in styles):  # the book's theme, and HTML
        colours = "".join(light_on_paper(style.read_text(encoding="utf-8")) for style in styles)
        own = Path(__file__).parents[1] / "static" / "paper.css"
        (static / own.name).write_text(colours + own.read_text(encoding="utf-8"), encoding="utf-8")


def setup(app):
    app.add_css_file("paper.css", media="print", priority=900)
    app.connect("build-finished", write_style, priority=900)  # after the theme has written its colours of code
