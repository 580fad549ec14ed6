"""A notebook that carries `lib`: its first cell, its links, and its file."""

import base64
import io
import json
import subprocess
import sys
import zipfile

from lib.chapter import standalone as module
from lib.chapter.addresses import Addresses
from lib.chapter.book import ROOT
from lib.chapter.standalone import NEEDED, pack_lib, rewrite_links, set_up_cell, standalone, write_all

SITE = "https://a.github.io/b"
FOLDER = ROOT / "book" / "a"


def _chapter(tmp_path):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# A ✓\n", "[B](b.ipynb) [lib](../lib/a.py)"]},
        {"cell_type": "code", "metadata": {}, "source": "1", "outputs": [], "execution_count": 1},
    ]
    path = tmp_path / "page.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}}), encoding="utf-8")
    return path, cells


def test_lib_is_packed_without_the_part_that_reads_notebooks():
    packed = pack_lib()
    assert packed == pack_lib() and max(map(len, packed.splitlines())) == 120
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(packed)))
    names = archive.namelist()
    assert names == sorted(names) and "lib/course/claims.py" in names and not any("chapter" in name for name in names)
    assert all(archive.read(name) == (ROOT / name).read_bytes() for name in names)
    assert {(entry.compress_type, entry.create_system) for entry in archive.infolist()} == {(zipfile.ZIP_DEFLATED, 3)}


def test_the_first_cell_is_folded_in_jupyter_and_in_colab():
    cell = set_up_cell()
    source = "".join(cell.pop("source"))
    assert cell == {
        "cell_type": "code", "id": "set-up", "execution_count": None, "outputs": [],
        "metadata": {"tags": ["hide-input"], "jupyter": {"source_hidden": True}, "cellView": "form"},
    }  # fmt: skip
    assert source.startswith("#@title Set-up: run this first\n") and json.dumps(NEEDED) in source and pack_lib() in source


def test_links_to_pages_lead_to_the_site_and_others_stay():
    text = "[B](../b/c.ipynb#x) [D](d.md) [code](../../lib/a.py) [W](https://w.org/a.md) ![i](i.md)"
    on_site = f"[B]({SITE}/book/b/c.html#x) [D]({SITE}/book/a/d.html) code [W](https://w.org/a.md) ![i](i.md)"
    assert rewrite_links(text, FOLDER, SITE) == on_site
    assert rewrite_links(text, FOLDER, "") == "B D code [W](https://w.org/a.md) ![i](i.md)"


def test_the_cells_follow_the_set_up_and_keep_their_outputs(tmp_path):
    path, (words, code) = _chapter(tmp_path)
    first, *cells = standalone(path)["cells"]
    assert first == set_up_cell()
    assert cells == [words | {"source": ["# A ✓\n", "B lib"]}, code]


def test_every_chapter_is_written_as_jupyter_writes_it(tmp_path, monkeypatch):
    path, _ = _chapter(tmp_path)
    monkeypatch.setattr(module, "chapter_paths", lambda: [path])
    monkeypatch.setattr(module, "addresses", lambda: Addresses("", "main"))
    target = tmp_path / "out" / "standalone" / "page.ipynb"
    assert write_all(target.parent) == write_all(target.parent) == [target]
    assert target.read_text(encoding="utf-8") == json.dumps(standalone(path), ensure_ascii=False, indent=1) + "\n"


def test_the_program_says_how_it_is_called():
    command = [sys.executable, "-m", "lib.chapter.standalone"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 1 and told.stderr == "usage: python -m lib.chapter.standalone OUTDIR\n"
