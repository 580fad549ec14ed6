"""Examples for `lib.chapter`."""

from pathlib import Path
from tempfile import gettempdir

from lib.chapter.addresses import Addresses
from lib.chapter.book import ROOT
from lib.chapter.notebook import Chapter
from lib.chapter.reading import Reading

PATH = ROOT / "book" / "foundations" / "conjugate-gradient.ipynb"


def _of_cell(**given):
    return lambda: dict(self=Chapter(PATH), cell=1, **given)


EXAMPLES = {
    **{f"addresses.Addresses.{name}": lambda: dict(self=Addresses("https://github.com/a/b", "main")) for name in ("source", "colab")},
    "files.replace_text": lambda: dict(path=Path(gettempdir(), "lib-chapter-example.txt"), text="a text"),
    "notebook.parse_header": lambda: dict(markdown=Chapter(PATH).source(0)),
    "notebook.read_notebook": lambda: dict(path=PATH),
    "notebook.Chapter": lambda: dict(path=PATH),
    **{f"notebook.Chapter.{name}": _of_cell() for name in ("source", "title", "place", "tags", "is_folded", "anchor", "output_text")},
    "notebook.Chapter.indices": lambda: dict(self=Chapter(PATH), cell_type="code"),
    "notebook.Chapter.prose": lambda: dict(self=Chapter(PATH)),
    "notebook.Chapter.unproved": lambda: dict(self=Chapter(PATH)),
    "book.read_yaml": lambda: dict(path=ROOT / "_toc.yml"),
    **{f"book.{name}": lambda: dict(root=ROOT) for name in ("syllabus", "pages", "chapter_paths", "chapters", "unfinished")},
    "addresses.addresses": lambda: dict(root=ROOT),
    "reading.Reading.add_prose": lambda: dict(self=Reading(), markdown="Some *words*."),
    "reading.visible_lines": lambda: dict(chapter=Chapter(PATH), cell=1),
    "reading.core_and_deeper": lambda: dict(chapter=Chapter(PATH)),
    "standalone.rewrite_links": lambda: dict(markdown="[Adam](adam-vs-adamw.ipynb)", folder=PATH.parent, site_url="https://a.b"),
    "standalone.standalone": lambda: dict(chapter_path=PATH),
}
CHANGES = {"reading.Reading.add_prose": {"self"}, "notebook.Chapter": {"self"}}  # a chapter keeps what it was asked
EXEMPT = {"standalone.write_all": "writes all of the book, each time"}
