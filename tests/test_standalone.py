"""The standalone notebooks run in an empty folder, with a Python that has no `lib` and no package that Colab lacks.

Every one is run up to its set-up cell; the first of each part and those that changed lately run to the end.
"""

import ast
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from notebooks import STRICT
from toolbox import ROOT, Chapter, chapter_paths, one_thread

from lib.chapter.standalone import NEEDED, SET_UP, standalone

NOT_IN_COLAB = ("jaxtyping", "beartype")
PROOF = f"""
import importlib.util
for name in {("lib", *NOT_IN_COLAB)}:
    assert importlib.util.find_spec(name) is None, name + " can be imported: nothing is proved"
"""


def to_the_end() -> set[Path]:
    """The first chapter of each part and, where git knows, those that differ from the last commit but one."""
    first = {path.parent: path for path in reversed(chapter_paths())}
    changed = ""
    if shutil.which("git"):
        diff = ["git", "diff", "--name-only", "HEAD~1"]
        changed = subprocess.run(diff, cwd=ROOT, capture_output=True, text=True).stdout
    return set(first.values()) | {ROOT / name for name in changed.splitlines()}


@pytest.fixture(scope="session")
def python_of_a_stranger(tmp_path_factory) -> Path:
    """A virtual environment that has links to the installed packages but those that Colab lacks.

    It has no .pth file of theirs, so it finds no `lib`.
    """
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, symlinks=True)
    scheme = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    for installed in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(installed).iterdir():
            if entry.suffix != ".pth" and not entry.name.startswith(NOT_IN_COLAB):
                (packages / entry.name).symlink_to(entry)
    return Path(sysconfig.get_path("scripts", vars=scheme)) / "python"


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_the_standalone_notebook_runs(path, python_of_a_stranger, tmp_path):
    notebook = standalone(path)
    if path not in to_the_end():
        carrier_and_set_up = [i for i, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code"][:2]
        del notebook["cells"][carrier_and_set_up[-1] + 1 :]
    proof = {"cell_type": "code", "id": "proof", "metadata": {}, "execution_count": None, "outputs": []}
    notebook["cells"].insert(0, proof | {"source": PROOF})
    (tmp_path / path.name).write_text(json.dumps(notebook), encoding="utf-8")
    environment = {name: value for name, value in one_thread().items() if not name.startswith("PYT")}
    environment["TMPDIR"] = str(tmp_path)  # where it unpacks `lib`
    command = [python_of_a_stranger, "-m", "pytest", *STRICT, "-q", "-p", "no:cacheprovider", "--rootdir=.", path.name]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def imported(source: str) -> set[str]:
    """The packages that a piece of Python imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names


def test_nothing_is_imported_that_the_set_up_cell_does_not_ask_for():
    """Beside what comes with matplotlib and with every kernel; shapes.py does without the checkers of shapes."""
    checkers = {ROOT / "lib" / "course" / name for name in ("shapes.py", "plans.py")}
    carried = set((ROOT / "lib").rglob("*.py")) - set((ROOT / "lib" / "chapter").rglob("*.py"))
    used = set().union(*(imported(path.read_text(encoding="utf-8")) for path in carried - checkers))
    for path in chapter_paths():
        chapter = Chapter(path)
        used |= set().union(*(imported(chapter.source(i)) for i in chapter.indices("code")))
    outside = {name.replace("sklearn", "scikit-learn") for name in used - sys.stdlib_module_names} - {"lib"}
    assert outside - {"PIL", "cycler", "IPython", "matplotlib_inline"} == set(NEEDED)


def test_the_set_up_cell_names_what_is_missing():
    refuse = "import sys; sys.modules.update(dict.fromkeys(('sklearn', 'sympy')))\n"
    cell = SET_UP.replace("{needed}", json.dumps(NEEDED))
    run = subprocess.run([sys.executable, "-I", "-c", refuse + cell], capture_output=True, text=True)
    assert "ModuleNotFoundError: this notebook needs scikit-learn, sympy: install that" in run.stderr


def test_the_ways_to_run_name_the_same_packages():
    for page in ("README.md", "book/index.md"):
        text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
        assert f"{', '.join(NEEDED[:-1])} and {NEEDED[-1]}" in text, page
