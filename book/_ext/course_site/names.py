"""What else a chapter is called, from book/syllabus.yml: its card shows it, and search finds it."""

from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from docutils import nodes

from lib.chapter.book import ROOT, syllabus


@dataclass(frozen=True)
class Names:
    """A chapter's Chinese name and the English names of its subject."""

    zh: str
    also: tuple[str, ...]


@cache
def all_names(root: Path = ROOT) -> dict[str, Names]:
    """The names of the chapters that have them, by slug; a ValueError names a chapter that has only half of them."""
    found = {}
    for entry in [entry for part in syllabus(root) for entry in part["chapters"]]:
        zh, also = entry.get("zh"), entry.get("also")
        if bool(zh) != bool(also):
            raise ValueError(f"book/syllabus.yml, {entry['slug']}: expected both zh (a text) and also (a list), or neither")
        if zh:
            found[entry["slug"]] = Names(zh, tuple(also))
    return found


def also_called(slug: str) -> list[nodes.definition_list_item]:
    """The row of the header card; none for a chapter without other names."""
    names = all_names().get(slug)
    if names is None:
        return []
    # Raw, as docutils cannot mark a language; the index takes the names from the syllabus instead.
    html = f'{escape(", ".join(names.also))} · <span lang="zh">{escape(names.zh)}</span>'
    body = nodes.definition("", nodes.paragraph("", "", nodes.raw("", html, format="html")))
    return [nodes.definition_list_item("", nodes.term("", "Also called"), body)]
