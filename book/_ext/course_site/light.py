"""A page loads what it shows, when it shows it: no script for icons that a font has, no font and no rule for icons that
nobody sees, no element around a name, a bracket or a sign in code, pictures in their turn and in a place kept free for them.
"""

import re
from pathlib import Path

from fontTools import subset
from PIL import Image
from pygments.formatters import HtmlFormatter
from pygments.token import Name, Operator, Punctuation, Text, Whitespace
from sphinx.highlighting import PygmentsBridge

from .header_card import FIRST_PICTURE

PLAIN = {Name, Operator, Punctuation, Text, Whitespace}  # shown in the colour of text
STYLE, FONTS = "_static/styles/pydata-sphinx-theme.css", "_static/vendor/fontawesome/webfonts"
SOLID = "fa-solid-900"

_ICON_SCRIPT = re.compile(r'[ \t]*<script[^>]*src="[^"]*scripts/fontawesome\.js[^"]*"[^>]*></script>\n?')
_ICON = re.compile(r"\bfa-[a-z0-9-]+")
_RULE = re.compile(r'(?:\.fa-[a-z0-9-]+:before,?)+\{content:"([^"]+)"\}')
_VARIABLE = re.compile(r'--pst-icon-[a-z-]+:"([^"]+)"')
_PICTURE = re.compile(r'<img (?![^>]*\bwidth=)([^>]*src="([^":]+\.png)"[^>]*?)\s*/?>')
_ESCAPED = re.compile(r"\\([0-9a-f]{4})")


class LeanFormatter(HtmlFormatter):
    """Pygments' formatter without elements for tokens that look like text: more than half of a chapter's."""

    def _get_css_classes(self, ttype):
        return "" if ttype in PLAIN else super()._get_css_classes(ttype)


def lean_style(style: str, used: set[str]) -> tuple[str, set[int]]:
    """The theme's style sheet with the rules of used icons only and one small font, and the characters it needs."""
    kept = []

    def keep(rule):
        if not used & set(_ICON.findall(rule[0])):
            return ""
        kept.append(rule[1])
        return rule[0]

    style = _RULE.sub(keep, style)
    kept += _VARIABLE.findall(style)
    style = re.sub(rf"url\([^)]*{SOLID}\.woff2\)[^}}]*", f"url(../vendor/fontawesome/webfonts/{SOLID}.woff)", style)
    shown = "".join(_ESCAPED.sub(lambda code: chr(int(code[1], 16)), text) for text in kept)
    return style, set(map(ord, shown))


def with_sizes(html: str, folder: Path) -> str:
    """A page's HTML with the sizes of its pictures, which are loaded when they come near; addresses count from a folder."""

    def sized(picture):
        loading = "" if FIRST_PICTURE in picture[1] else 'loading="lazy" '
        with Image.open(folder / picture[2]) as image:
            return f'<img {loading}width="{image.width}" height="{image.height}" {picture[1]}/>'

    return _PICTURE.sub(sized, html)


def lighten_pages(out: Path) -> set[str]:
    """Rewrite the pages that can be lighter, and return the icons that pages show."""
    icons = set()
    for page in out.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        icons.update(_ICON.findall(html))
        if (lean := with_sizes(_ICON_SCRIPT.sub("", html), page.parent)) != html:
            page.write_text(lean, encoding="utf-8")
    return icons


def shrink_icons(out: Path, used: set[str]) -> None:
    """Sphinx puts the whole style sheet back in every build, so that an icon which a page begins to use is there."""
    for script in (out / "_static" / "scripts").glob("*-theme.js"):
        used = used | set(_ICON.findall(script.read_text(encoding="utf-8")))
    style, characters = lean_style((out / STYLE).read_text(encoding="utf-8"), used)
    (out / STYLE).write_text(style, encoding="utf-8")
    options = subset.Options(flavor="woff")
    font, subsetter = subset.load_font(out / FONTS / f"{SOLID}.ttf", options), subset.Subsetter(options)
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    subset.save_font(font, out / FONTS / f"{SOLID}.woff", options)


def lighten(app, exception):
    """Go over what was written, once all of it is."""
    out = Path(app.outdir)
    if exception is None and app.builder.format == "html":
        icons = lighten_pages(out)
        if (out / STYLE).exists():  # the book's theme
            shrink_icons(out, icons)


def setup(app):
    PygmentsBridge.html_formatter = LeanFormatter
    app.connect("build-finished", lighten)
