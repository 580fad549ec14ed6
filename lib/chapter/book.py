"""Where the book's chapters are, and what is planned. A file that is not there raises a FileNotFoundError."""

from functools import cache
from pathlib import Path

import yaml

from lib.chapter.notebook import Chapter
from lib.course.shapes import checked_after_errors

ROOT = Path(__file__).resolve().parents[2]


@checked_after_errors
def read_yaml(path: Path):
    """What a YAML file holds; read once as long as it does not change, so do not change what is returned."""
    return _read_yaml(path, path.stat().st_mtime_ns)


@cache
def _read_yaml(path, changed):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@checked_after_errors
def syllabus(root: Path = ROOT) -> list[dict]:
    """The plan of the book: parts in order, each with its title and its chapters (digest, slug, title)."""
    return read_yaml(root / "book" / "syllabus.yml")


@checked_after_errors
def pages(root: Path = ROOT) -> list[str]:
    """The pages that `_toc.yml` lists, in its order and without suffix."""
    toc = read_yaml(root / "_toc.yml")
    listed = [entry["file"] for part in toc.get("parts", []) for entry in part.get("chapters", [])]
    return [file.removesuffix(".ipynb") for file in [toc["root"], *listed]]


@checked_after_errors
def chapter_paths(root: Path = ROOT) -> list[Path]:
    """The notebooks that `_toc.yml` lists, in its order."""
    return [path for page in pages(root) if (path := root / f"{page}.ipynb").exists()]


@checked_after_errors
def chapters(root: Path = ROOT) -> list[Chapter]:
    """The chapters that are in the book, in reading order."""
    return [Chapter(path) for path in chapter_paths(root)]


@checked_after_errors
def unfinished(root: Path = ROOT) -> list[Path]:
    """Notebooks on disk that `_toc.yml` does not list."""
    return sorted(set(root.glob("book/[!_.]*/*.ipynb")) - set(chapter_paths(root)))
