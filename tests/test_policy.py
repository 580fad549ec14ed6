"""The policy that forbids a page to load anything from elsewhere: where it stands, and that it allows the site alone."""

import re

from course_site.policy import META, POLICY, protect, with_policy

PAGE = '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8" />\n<script src="a.js"></script>\n</head></html>'
FORWARDS = '<meta http-equiv="Refresh" content="0; url=book/index.html" />\n'


def test_it_stands_before_all_that_loads_and_once():
    page = with_policy(PAGE)
    assert page.index("charset") < page.index(META) < page.index("<script")
    assert with_policy(page) == page and with_policy(FORWARDS) == f"{META}\n{FORWARDS}"
    assert with_policy(page.replace(POLICY, "default-src *")) == page


def test_it_names_no_other_site():
    sources = {source for directive in POLICY.split("; ") for source in directive.split()[1:]}
    assert sources == {"'self'", "file:", "data:", "'unsafe-inline'", "'none'"}
    assert not re.search(r"script-src[^;]*(data:|unsafe-eval)", POLICY)


def test_every_page_gets_it(tmp_path):
    class App:
        outdir, builder = tmp_path, type("Builder", (), {"format": "html"})

    for name in ("index.html", "deep/er/page.html", "404.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PAGE)
    protect(App, None)
    assert all(META in page.read_text() for page in tmp_path.rglob("*.html"))
