"""What the tools do under faults: nothing is half written or lost, and a sentence says what to do. See `make faults`."""

import errno
import json
import os
import shutil
import subprocess
import sys

import build_site
import execute
import list_violations
import mutants
import new_chapter
import notebooks
import pytest
import runs
import small_book
import sweep
import toolbox

from lib.chapter.files import replace_text
from lib.chapter.notebook import Chapter, NotANotebook
from lib.chapter.standalone import standalone

ENDS = """
import os, signal, sys
from pathlib import Path
from lib.chapter import files

def end(*_): os.kill(os.getpid(), signal.SIGKILL)

where, path = sys.argv[1], Path(sys.argv[2])
if where == "written in part":
    opened = Path.open
    def opening(self, mode="r", *rest, **options):
        file = opened(self, mode, *rest, **options)
        if mode == "w":
            file.write("new" * 1000); file.flush(); end()
        return file
    Path.open = opening
elif where == "before the disk has it": os.fsync = end
elif where == "before it takes the place": Path.replace = end
elif where == "after it":
    replace = Path.replace
    Path.replace = lambda self, target: (replace(self, target), end())
files.replace_text(path, "new" * 2000)
"""
MOMENTS = {"written in part": "old", "before the disk has it": "old", "before it takes the place": "old", "after it": "new" * 2000}
NAME = "Ein Büch 書"
needs_mounts = pytest.mark.skipif(not small_book.private_mounts(), reason="nobody but root may mount anything here")


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A notebook that prints once, in a folder whose name has spaces and letters that are not ASCII; all tools find it."""
    path = tmp_path / NAME / "attention" / "rope.ipynb"
    path.parent.mkdir(parents=True)
    cell = new_chapter.code("print('new')") | {"id": "cell-001"}
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    for tool in (execute, notebooks, list_violations, sweep, mutants):
        monkeypatch.setattr(tool, "chapters_named", lambda slugs: [path])
    return path


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_file_is_the_old_or_the_new_one_when_the_program_is_killed(tmp_path, moment):
    path = tmp_path / f"{NAME}.txt"
    path.write_text("old")
    assert subprocess.run([sys.executable, "-c", ENDS, moment, path], cwd=toolbox.ROOT, check=False).returncode == -9
    assert path.read_text() == MOMENTS[moment]
    replace_text(path, "again")  # whatever half was left
    assert path.read_text() == "again" and list(tmp_path.iterdir()) == [path]


def test_a_file_keeps_its_rights_and_a_link_its_target(tmp_path):
    path, link = tmp_path / "a", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    replace_text(link, "new")
    assert link.is_symlink() and path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o640


@needs_mounts
def test_a_full_disk_keeps_the_old_file_and_leaves_no_half(path):
    before, held = small_book.on_a_full_disk(str(path.parent)), path.read_bytes()
    code = "import sys; from pathlib import Path; from lib.chapter.files import replace_text; replace_text(Path(sys.argv[1]), 'new' * 10**6)"
    run = subprocess.run([*before, sys.executable, "-c", code, path], cwd=toolbox.ROOT, capture_output=True, text=True, check=False)
    after = path.parent.with_name("attention after")
    assert f"[Errno {errno.ENOSPC}]" in run.stderr and str(path) in run.stderr
    assert [entry.name for entry in after.iterdir()] == [path.name] and (after / path.name).read_bytes() == held


@needs_mounts
def test_a_read_only_folder_is_told_before_anything_runs(path):
    code = "import sys; from pathlib import Path; from toolbox import require_writable; require_writable(Path(sys.argv[1]))"
    command = [*small_book.read_only(str(path.parent)), sys.executable, "-c", code, path]
    environment = os.environ | {"PYTHONPATH": f"{toolbox.ROOT}:{toolbox.ROOT / 'book' / '_tools'}"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1 and run.stderr.startswith(f"{path} cannot be written: give yourself the right to")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "The disk is full: .*rope.* Free some room"), (errno.EROFS, "rope.* cannot be written: give yourself the right")],
)
def test_what_the_disk_refuses_is_told_in_a_sentence_and_the_notebook_stays(path, monkeypatch, number, sentence):
    held = path.read_bytes()

    def refused(path, text):
        raise OSError(number, "no", str(path))

    monkeypatch.setattr(execute, "replace_text", refused)
    with pytest.raises(SystemExit, match=sentence):
        execute.main("rope")
    assert path.read_bytes() == held


def test_other_errors_stay_what_they_are():
    @toolbox.in_plain_words
    def broken():
        raise FileNotFoundError(errno.ENOENT, "no", "x")

    with pytest.raises(FileNotFoundError):
        broken()


def test_spaces_and_other_letters_in_a_path_change_nothing(path):
    execute.execute(path)
    assert Chapter(path).output_text(0) == "new\n"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


SPOILT = {"half": b'{"cells": [{"cell_', "no text": b"\xff\xfe\x00", "a list": b"[1]", "empty": b"", "no cells": b"{}"}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_is_no_notebook_is_named_with_its_remedy(path, spoilt):
    path.write_bytes(SPOILT[spoilt])
    for read in (Chapter, runs.read, execute.execute, standalone):
        with pytest.raises(NotANotebook, match='rope.ipynb is not a notebook .*git checkout -- ".*rope.ipynb"'):
            read(path)
    assert path.read_bytes() == SPOILT[spoilt]


@pytest.mark.parametrize("tool", [execute, notebooks, list_violations, sweep, mutants], ids=lambda tool: tool.__name__)
def test_every_tool_tells_it_in_a_sentence(path, tool, monkeypatch):
    path.write_bytes(SPOILT["half"])
    monkeypatch.setattr(sys, "argv", ["tool"])
    with pytest.raises(SystemExit, match="rope.ipynb is not a notebook"):
        tool.main(*["rope"][: tool not in (sweep, mutants)])


def test_a_notebook_of_another_form_is_told_too(path):
    path.write_text('{"cells": [{"cell_type": "code"}], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}')
    with pytest.raises(NotANotebook):
        runs.read(path)


@pytest.mark.parametrize("tool", [execute, notebooks, sweep, mutants], ids=lambda tool: tool.__name__)
def test_a_missing_kernel_is_told_with_its_remedy(path, tool, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    monkeypatch.setattr(sys, "argv", ["tool"])
    with pytest.raises(SystemExit, match="no kernel to run notebooks in.*rm .venv/.site and make"):
        tool.main(*["rope"][: tool not in (sweep, mutants)])


@pytest.mark.parametrize("unfinished", [True, False])
def test_a_build_after_an_unfinished_one_starts_afresh(tmp_path, monkeypatch, unfinished):
    monkeypatch.setattr(build_site, "BUILD", tmp_path)
    monkeypatch.setattr(build_site, "UNFINISHED", tmp_path / ".unfinished")
    monkeypatch.setattr(build_site, "chapter_paths", list)
    monkeypatch.setattr(build_site, "JUPYTER_BOOK", shutil.which("true"))
    half = tmp_path / "jupyter_execute" / "half.png"
    half.parent.mkdir()
    half.touch()
    if unfinished:
        monkeypatch.setattr(build_site, "JUPYTER_BOOK", shutil.which("false"))
        with pytest.raises(SystemExit, match="There is no new site: mend what is said above"):
            build_site.main()
        monkeypatch.setattr(build_site, "JUPYTER_BOOK", shutil.which("true"))
    build_site.main()
    assert half.exists() is not unfinished
    assert not (tmp_path / ".unfinished").exists()
