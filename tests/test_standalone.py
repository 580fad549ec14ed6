"""The standalone notebooks run in an empty folder, with a Python that has no `lib`.

Every one is run up to its set-up cell; the first of each part and those that changed lately run to the end.
"""

import json
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
from notebooks import STRICT
from toolbox import ROOT, chapter_paths, one_thread

from lib.chapter.standalone import standalone

NO_LIB = "import importlib.util\nassert importlib.util.find_spec('lib') is None, 'lib is installed: nothing is proved'"


def to_the_end() -> set[Path]:
    """The first chapter of each part and, where git knows, those that differ from the last commit but one."""
    first = {path.parent: path for path in reversed(chapter_paths())}
    changed = ""
    if shutil.which("git"):
        diff = ["git", "diff", "--name-only", "HEAD~1"]
        changed = subprocess.run(diff, cwd=ROOT, capture_output=True, text=True).stdout
    return set(first.values()) | {ROOT / name for name in changed.splitlines()}


@pytest.fixture(scope="session")
def python_without_lib(tmp_path_factory) -> Path:
    """A virtual environment that sees the installed packages but reads no .pth file of theirs, so it finds no `lib`."""
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, symlinks=True)
    scheme = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    (packages / "packages.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return Path(sysconfig.get_path("scripts", vars=scheme)) / "python"


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_the_standalone_notebook_runs(path, python_without_lib, tmp_path):
    notebook = standalone(path)
    if path not in to_the_end():
        carrier_and_set_up = [i for i, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code"][:2]
        del notebook["cells"][carrier_and_set_up[-1] + 1 :]
    proof = {"cell_type": "code", "id": "no-lib", "metadata": {}, "execution_count": None, "outputs": [], "source": NO_LIB}
    notebook["cells"].insert(0, proof)
    (tmp_path / path.name).write_text(json.dumps(notebook), encoding="utf-8")
    environment = {name: value for name, value in one_thread().items() if not name.startswith("PYT")}
    command = [python_without_lib, "-m", "pytest", *STRICT, "-q", "-p", "no:cacheprovider", "--rootdir=.", path.name]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
