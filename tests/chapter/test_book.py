"""Where the chapters of a book are."""

import json

from lib.chapter.book import chapter_paths, chapters, pages, unfinished

TOC = """\
root: book/index
parts:
- caption: A
  chapters:
  - file: book/a/one
  - file: book/a/two.ipynb
  - file: book/a/planned
"""


def test_a_book_has_the_chapters_of_its_contents_and_others_are_unfinished(tmp_path):
    (tmp_path / "_toc.yml").write_text(TOC)
    for name in ("a/two", "a/one", "b/half", "a/again", "_templates/chapter", ".hidden/page"):
        path = tmp_path / "book" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"cells": [], "metadata": {}}))
    book = tmp_path / "book"
    assert pages(tmp_path) == ["book/index", "book/a/one", "book/a/two", "book/a/planned"]
    assert chapter_paths(tmp_path) == [book / "a" / "one.ipynb", book / "a" / "two.ipynb"]
    assert [chapter.slug for chapter in chapters(tmp_path)] == ["one", "two"]
    assert unfinished(tmp_path) == [book / "a" / "again.ipynb", book / "b" / "half.ipynb"]
