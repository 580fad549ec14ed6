"""Make notebooks that run anywhere: each carries `lib`, and needs neither the repository nor an installation of it.

    python -m lib.chapter.standalone OUTDIR
"""

import base64
import io
import json
import re
import sys
import zipfile
from pathlib import Path

from lib.chapter.addresses import addresses
from lib.chapter.book import ROOT, chapter_paths
from lib.chapter.files import replace_text
from lib.chapter.notebook import read_notebook, text
from lib.course.shapes import checked_after_errors

SET_UP = '''\
#@title Set-up: run this first
def set_up(packed):
    """Make `lib`, which is packed below, importable; nothing is installed or fetched."""
    import base64, importlib.util, io, sys, tempfile, zipfile

    needed = {needed}
    missing = [name for name in needed if importlib.util.find_spec(name.replace("scikit-learn", "sklearn")) is None]
    if missing:
        raise ModuleNotFoundError(f"this notebook needs {', '.join(missing)}: install that and run this cell again")
    folder = tempfile.mkdtemp(prefix="lib-")
    zipfile.ZipFile(io.BytesIO(base64.b64decode(packed))).extractall(folder)
    sys.path.insert(0, folder)


set_up("""
{packed}
""")
'''
NEEDED = ["torch", "numpy", "scipy", "matplotlib", "scikit-learn", "sympy", "tqdm"]  # Colab has them all
LINE = 120
_LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\((?![a-z]+:)([^)#\s]+)\.(ipynb|md|py)(#[^)\s]*)?\)")


def pack_lib() -> str:
    """What notebooks need of `lib`, zipped and written in base64; the same sources give the same text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(set((ROOT / "lib").rglob("*.py")) - set((ROOT / "lib" / "chapter").rglob("*.py"))):
            entry = zipfile.ZipInfo(path.relative_to(ROOT).as_posix())
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3  # the same text on every system
            archive.writestr(entry, path.read_bytes())
    packed = base64.b64encode(buffer.getvalue()).decode()
    return "\n".join(packed[i : i + LINE] for i in range(0, len(packed), LINE))


def set_up_cell() -> dict:
    source = SET_UP.replace("{needed}", json.dumps(NEEDED)).replace("{packed}", pack_lib())
    return {
        "cell_type": "code",
        "id": "set-up",
        "metadata": {"tags": ["hide-input"], "jupyter": {"source_hidden": True}, "cellView": "form"},
        "execution_count": None,
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


@checked_after_errors
def rewrite_links(markdown: str, folder: Path, site_url: str) -> str:
    """Links to other pages of the book lead to its site; without an address, and to source files, they become text."""

    def rewrite(match: re.Match) -> str:
        label, target, kind, anchor = match.groups(default="")
        if not site_url or kind == "py":
            return label
        page = (folder / target).resolve().relative_to(ROOT).as_posix()
        return f"[{label}]({site_url}/{page}.html{anchor})"

    return _LINK.sub(rewrite, markdown)


@checked_after_errors
def standalone(chapter_path: Path, site_url: str = "") -> dict:
    """The chapter's notebook with `lib` inside; the outputs of its own cells are kept. Without it: a FileNotFoundError."""
    chapter_path = Path(chapter_path).resolve()
    notebook = read_notebook(chapter_path)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            markdown = rewrite_links(text(cell["source"]), chapter_path.parent, site_url)
            cell["source"] = markdown.splitlines(keepends=True)
    notebook["cells"].insert(0, set_up_cell())
    return notebook


@checked_after_errors
def write_all(folder: Path) -> list[Path]:
    """Write the standalone notebook of every chapter into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    site_url = addresses().site
    written = []
    for path in chapter_paths():
        target = folder / path.name
        replace_text(target, json.dumps(standalone(path, site_url), ensure_ascii=False, indent=1) + "\n")
        written.append(target)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m lib.chapter.standalone OUTDIR")
    for path in write_all(Path(sys.argv[1])):
        print(path)
