"""What else a chapter is called, from book/syllabus.yml: its card shows it, and search finds it."""

from dataclasses import dataclass
from functools import cache
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
            raise ValueError(f"book/syllabus.yml, {entry['slug']}: expected both zh (text) and also (list), or neither")
        if zh:
            found[entry["slug"]] = Names(zh, tuple(also))
    return found


def also_called(slug: str) -> list[nodes.definition_list_item]:
    """The row of the header card; none for a chapter without other names."""
    names = all_names().get(slug)
    if names is None:
        return []
    chinese = nodes.inline("", names.zh, classes=["language-zh"])  # docutils makes lang="zh" of it
    body = nodes.definition("", nodes.paragraph("", "", nodes.Text(f"{', '.join(names.also)} · "), chinese))
    return [nodes.definition_list_item("", nodes.term("", "Also called"), body)]
