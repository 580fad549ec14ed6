"""What a published copy of the site needs: a page for addresses that lead nowhere, and a map for search engines."""

from html import escape
from itertools import groupby
from pathlib import Path

from lib.chapter.addresses import addresses
from lib.chapter.book import chapters

from .pages import part_titles


def not_found(app, site: str) -> str:
    """The page that a server sends for an unknown address, at any depth: it carries its own style.

    Its links count from the site's address; in a copy without one, from the folder in which the page lies.
    """
    titles = part_titles()
    found = [chapter for chapter in chapters(Path(app.srcdir)) if chapter.has_header]
    parts = []
    for name, group in groupby(found, lambda chapter: chapter.part):
        links = [(app.builder.get_target_uri(app.env.path2doc(str(c.path))), c.header.title) for c in group]
        parts.append({"title": titles.get(name, name), "links": links})
    context = {"base": f"{site}/" if site else "", "project": app.config.project, "parts": parts}
    return app.builder.templates.render("404.html", context | {"home": app.builder.get_target_uri(app.config.root_doc)})


def sitemap(pages: list[str], site: str) -> str:
    """The addresses of all pages, as search engines read them."""
    rows = "".join(f"  <url><loc>{escape(f'{site}/{page}')}</loc></url>\n" for page in pages)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    return f"{head}{rows}</urlset>\n"


def write(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    site, out = addresses().site, Path(app.outdir)
    (out / "404.html").write_text(not_found(app, site), encoding="utf-8")
    if site:
        pages = [app.builder.get_target_uri(docname) for docname in sorted(app.env.found_docs)]
        (out / "sitemap.xml").write_text(sitemap(pages, site), encoding="utf-8")
    else:
        (out / "sitemap.xml").unlink(missing_ok=True)


def setup(app):
    app.connect("build-finished", write)
