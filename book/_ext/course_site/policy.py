"""Every page carries a policy by which a browser loads nothing for it from elsewhere, whatever the page may ask for.

`file:` is the site itself, opened from a disk. The theme's scripts and styles within the page need 'unsafe-inline'; nothing
that others write is on a page.
"""

import re
from pathlib import Path

OWN = "'self' file:"
POLICY = "; ".join([
    f"default-src {OWN}",
    f"script-src {OWN} 'unsafe-inline'",
    f"style-src {OWN} 'unsafe-inline'",
    f"img-src {OWN} data:",
    f"font-src {OWN} data:",
    f"form-action {OWN}",
    "object-src 'none'",
    "base-uri 'none'",
])  # fmt: skip
META = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'

_OLD = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n?')
_CHARSET = re.compile(r"<meta charset=[^>]*>\n?")


def with_policy(html: str) -> str:
    """A page with the policy before anything that loads; a page without a head of its own, one that forwards, has it first."""
    html = _OLD.sub("", html)
    charset = _CHARSET.search(html)
    place = charset.end() if charset else 0
    return f"{html[:place]}{META}\n{html[place:]}"


def protect(app, exception):
    if exception is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            html = page.read_text(encoding="utf-8")
            if (protected := with_policy(html)) != html:
                page.write_text(protected, encoding="utf-8")


def setup(app):
    app.connect("build-finished", protect, priority=900)  # when all pages are written, also those that Sphinx knows not of
