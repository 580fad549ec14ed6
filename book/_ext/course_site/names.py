"""What else a chapter is called, from book/syllabus.yml: its card shows it, and search finds it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from docutils import nodes

from lib.chapter.book import ROOT, syllabus

from .pages import chinese


@dataclass(frozen=True)
class Names:
    """A chapter's Chinese name and the English names of its subject."""

    zh: str
    also: tuple[str, ...]


@cache
def all_names(root: Path = ROOT) -> dict[str, Names]:
    """The names of the written chapters, by slug; a ValueError names one that lacks the Chinese name."""
    found = {}
    for entry in [entry for part in syllabus(root) for entry in part["chapters"]]:
        zh, also = entry.get("zh"), entry.get("also")
        if also and not zh:
            raise ValueError(f"book/syllabus.yml, {entry['slug']}: expected zh (text) beside also (list)")
        if also:
            found[entry["slug"]] = Names(zh, tuple(also))
    return found


def also_called(slug: str) -> list[nodes.definition_list_item]:
    """The row of the header card; none for a chapter without other names."""
    names = all_names().get(slug)
    if names is None:
        return []
    body = nodes.definition("", nodes.paragraph("", "", nodes.Text(f"{', '.join(names.also)} · "), chinese(names.zh)))
    return [nodes.definition_list_item("", nodes.term("", "Also called"), body)]
