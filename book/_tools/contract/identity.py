"""The rules of what a chapter is: its header, its place in the syllabus, its metadata and its size."""

from collections.abc import Iterator
from pathlib import Path

from lib.chapter.book import syllabus
from lib.chapter.notebook import Chapter

LARGEST_CHAPTER = 1.5e6
NOTEBOOK_METADATA = {"course", "kernelspec", "language_info"}


def identity(chapter: Chapter, root: Path) -> Iterator[str]:
    try:
        chapter.header  # noqa: B018
    except ValueError as error:
        yield f"header: {error}; write it in the first cell"
    planned = {c["slug"]: (part["part"], c["digest"]) for part in syllabus(root) for c in part["chapters"]}
    if chapter.slug not in planned:
        yield f"the syllabus has no chapter {chapter.slug!r}; name the file as in book/syllabus.yml"
    else:
        part, digest = planned[chapter.slug]
        if chapter.part != part:
            yield f"the chapter belongs in book/{part}/; move it there"
        if chapter.digest != digest:
            yield f"the metadata's course.digest is {chapter.digest!r}; book/syllabus.yml says {digest!r}"
    metadata = chapter.notebook["metadata"]
    extra = set(metadata) - NOTEBOOK_METADATA | {f"course.{key}" for key in metadata.get("course", {})} - {"course.digest"}
    for key in sorted(extra):
        yield f"remove the notebook's metadata {key!r}; facts are typed in the header"
    size = chapter.path.stat().st_size
    if size > LARGEST_CHAPTER:
        yield f"the file is {size / 1e6:.1f} MB; keep it under {LARGEST_CHAPTER / 1e6:g}: fewer or smaller figures"
