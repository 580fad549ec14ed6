"""At a chapter's end: the chapters that need it, as their headers say.

A chapter's own text does not change when another one begins to need it, so its page is only written again.
"""

from html import escape
from pathlib import Path

from lib.chapter.book import chapters
from lib.chapter.notebook import Chapter

from .overviews import needed

HEADING = "What this chapter is needed for"


def needed_by(found: list[Chapter]) -> dict[Path, list[Chapter]]:
    """For every chapter, by its path, the ones that need it, in reading order."""
    needing = {chapter.path: [] for chapter in found}
    for chapter in found:
        for other in needed(chapter, found):
            needing[other.path].append(chapter)
    return needing


def follow(app, env) -> list[str]:
    """Keep who needs whom, as page names and titles; the pages for which it changed are written again."""
    before = getattr(env, "course_needed_by", {})
    found = [chapter for chapter in chapters(Path(app.srcdir)) if chapter.has_header]
    env.course_needed_by = {
        env.path2doc(str(path)): [(env.path2doc(str(other.path)), other.header.title) for other in needing]
        for path, needing in needed_by(found).items()
    }
    return [docname for docname, needing in env.course_needed_by.items() if before.get(docname) != needing]


def block(links: list[tuple[str, str]]) -> str:
    """HTML of the addresses and titles of the chapters that need this one."""
    listed = "; ".join(f'<a class="reference internal" href="{url}">{escape(title)}</a>' for url, title in links)
    return f'<p class="needed-for"><strong>{HEADING}.</strong> {listed or "No other chapter builds on it so far"}.</p>\n'


def add_block(app, pagename, templatename, context, doctree):
    needing = getattr(app.env, "course_needed_by", {}).get(pagename)
    if needing is not None:
        links = [(app.builder.get_relative_uri(pagename, docname), title) for docname, title in needing]
        context["body"] += block(links)


def setup(app):
    app.connect("env-updated", follow)
    app.connect("html-page-context", add_block)
