"""What a page's head asks for: three style sheets instead of twenty, and scripts that wait until the page is read.

The first sheet holds what all pages share, the last what this kind of page needs, and the font of formulas, ten times as
large, stands alone: so a reader's next page asks for a small one at most. The sheets are put together again in every
build; pages that were written in an earlier one name theirs in `data-sheets`.
"""

import hashlib
import posixpath
import re
from os.path import commonprefix
from pathlib import Path

FONT = "formula-font.css"

_SHEET = re.compile(r'<link(?=[^>]* rel="stylesheet")(?![^>]* media=)[^>]* href="([^"]*?)_static/([^"?]+)[^"]*"[^>]*>\n?')
_NAMES = re.compile(r' data-sheets="([^"]*)"')
_SCRIPT = re.compile(r'<script(?![^>]*\b(?:defer|async)\b)([^>]* src="[^>]*)>')
_OPTIONS = re.compile(r'<script[^>]* src="[^"]*_static/documentation_options\.js[^"]*"[^>]*></script>')
_PRELOAD = re.compile(r'<link rel="preload" as="script"[^>]*>\n?')
_CHARSET = re.compile(r'@charset "[^"]*";')
_IMPORT = re.compile(r'@import "([^"]+)";')
_ADDRESS = re.compile(r'url\((?!["\']?(?:data:|#|/))["\']?([^)"\']+)["\']?\)')


def sheets(html: str) -> list[str]:
    """The names of a page's style sheets, below _static/, in their order."""
    names = []
    for link in _SHEET.finditer(html):
        earlier = _NAMES.search(link[0])
        names += earlier[1].split() if earlier else [link[2]]
    return names


def style(static: Path, name: str) -> str:
    """A style sheet with those that it imports, its addresses counted from _static/."""
    folder = posixpath.dirname(name)
    text = _CHARSET.sub("", (static / name).read_text(encoding="utf-8"))
    text = _ADDRESS.sub(lambda found: f"url({posixpath.normpath(posixpath.join(folder, found[1]))})", text)
    return _IMPORT.sub(lambda found: style(static, posixpath.normpath(posixpath.join(folder, found[1]))), text)


def parts(names: list[str], shared: list[str]) -> list[list[str]]:
    """The style sheets that stand in one file each: those that all pages share, the font, and the others."""
    others = names[len(shared) :]
    groups = [shared, [name for name in others if name == FONT], [name for name in others if name != FONT]]
    return [group for group in groups if group]


def written(static: Path, names: list[str]) -> str:
    """Put style sheets into one file; returns the attributes of the link to it, without the way to _static/."""
    text = "\n".join(style(static, name) for name in names)
    file = f"sheets-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:8]}.css"
    (static / file).write_text(text, encoding="utf-8")
    version = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f'{file}?v={version}" data-sheets="{" ".join(names)}"'


def with_scripts_that_wait(html: str, options: str) -> str:
    """A page whose scripts run when it is read; scripts within it need the few lines of `options` at once."""
    html = _OPTIONS.sub(lambda found: f"<script>{options}</script>", _PRELOAD.sub("", html))
    return _SCRIPT.sub(r'<script defer="defer"\1>', html)


def put_together(out: Path) -> None:
    """Rewrite the heads of all pages of a built site."""
    static = out / "_static"
    pages = {page: page.read_text(encoding="utf-8") for page in out.rglob("*.html") if static not in page.parents}
    names = {page: found for page, html in pages.items() if (found := sheets(html))}
    shared = commonprefix(list(names.values()))
    groups = {page: parts(found, shared) for page, found in names.items()}
    links = {tuple(group): written(static, group) for of_page in groups.values() for group in of_page}
    for file in set(static.glob("sheets-*.css")) - {static / link.partition("?")[0] for link in links.values()}:
        file.unlink()  # of an earlier build
    options = (static / "documentation_options.js").read_text(encoding="utf-8")
    for page, of_page in groups.items():
        html = pages[page]
        first = _SHEET.search(html)
        new = "".join(f'<link rel="stylesheet" href="{first[1]}_static/{links[tuple(group)]} />\n' for group in of_page)
        lean = html[: first.start()] + new + _SHEET.sub("", html[first.end() :])
        if (lean := with_scripts_that_wait(lean, options)) != html:
            page.write_text(lean, encoding="utf-8")


def finish(app, exception):
    out = Path(app.outdir)
    if exception is None and app.builder.format == "html" and (out / "_static" / "documentation_options.js").exists():
        put_together(out)


def setup(app):
    app.connect("build-finished", finish, priority=950)  # when all style sheets are written
