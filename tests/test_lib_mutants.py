"""Edits of `lib`: which tests and chapters they meet, what notices them, what is kept, listed and reported."""

import json
import subprocess

import lib_mutants
import nbformat
import nbformat.v4 as v4
import pytest
from edits import Edit
from importers import Importers
from lib_mutants import Subject, answers, changed_since, meet, modules_named
from outcomes import BY, Outcome, Outcomes, change, listed, place, report
from runs import Run, read

SUMS = '''
"""Sums."""

def add(a, b):
    return a + b

class Counter:
    def count(self, n):
        while n > 0:
            n = n - 1
        return n + 0
'''
FILES = {
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\n',
    "lib/__init__.py": "",
    "lib/course/__init__.py": "",
    "lib/course/sums.py": SUMS,
    "lib/course/inner.py": "ONE = 1\n",
    "lib/course/outer.py": "from lib.course.inner import ONE\n",
    "tests/course/test_sums.py": "from lib.course import sums\n\ndef test_add():\n    assert sums.add(2, 0) == 2\n",
    "tests/course/test_outer.py": "def test_one():\n    from lib.course import outer\n    assert outer.ONE == 1\n",
    "tests/test_all.py": "import lib.course.sums as sums\n\ndef test_count():\n    assert sums.Counter().count(3) == 0\n",
    "tests/browser/test_page.py": "import lib.course.sums\n",
}


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    notebook = v4.new_notebook(cells=[v4.new_code_cell("from lib.course import sums\nprint(sums.add(1, 2))")])
    chapter = tmp_path / "project" / "book" / "part" / "sums-of-two.ipynb"
    chapter.parent.mkdir(parents=True)
    nbformat.write(notebook, chapter)
    return tmp_path / "project"


@pytest.fixture
def sums(project, tmp_path):
    return Subject("lib.course.sums", Importers(project), tmp_path / "kept")


def edit(text: str, before: str, after: str) -> Edit:
    """The edit that puts `after` where `before` stands, which it does once."""
    assert text.count(before) == 1
    start = len(text[: text.index(before)].encode())
    return Edit(start, start + len(before.encode()), after)


def names(paths) -> list[str]:
    return [path.name for path in paths]


def test_a_module_meets_its_own_tests_first_and_then_who_imports_it(project):
    importers = Importers(project)
    assert names(importers.tests("lib.course.sums")) == ["test_sums.py", "test_all.py"]
    assert names(importers.chapters("lib.course.sums")) == ["sums-of-two.ipynb"]
    assert modules_named("course.sums lib.course.inner", importers) == ["lib.course.sums", "lib.course.inner"]
    assert modules_named("", importers) == ["lib.course.inner", "lib.course.outer", "lib.course.sums"]
    with pytest.raises(SystemExit, match="no module lib.course.minus"):
        modules_named("course.minus", importers)


def test_git_says_which_modules_have_changed(project):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=project, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    importers = Importers(project)
    assert changed_since("HEAD", importers) == set()
    (project / "lib/course/inner.py").write_text("ONE = 1.0\n")
    (project / "tests/course/test_outer.py").write_text("")
    (project / "lib/course/outer.py").unlink()
    assert changed_since("HEAD", importers) == {"lib.course.inner"}
    with pytest.raises(SystemExit, match="git cannot say what has changed since nothing: fatal"):
        changed_since("nothing", importers)


def test_a_module_that_only_others_import_meets_the_tests_of_those(project):
    assert names(Importers(project).tests("lib.course.inner")) == ["test_outer.py"]
    assert Importers(project).chapters("lib.course.inner") == []


def test_tests_run_on_an_edited_copy_until_one_fails_or_the_time_is_out(sums):
    edits = {
        "right": None,
        "harmless": edit(SUMS, "n > 0", "0 < n"),
        "own": edit(SUMS, "a + b", "a * b"),
        "other": edit(SUMS, "n + 0", "n + 1"),
        "endless": edit(SUMS, "n = n - 1", "n = n + 1"),
        "no module": edit(SUMS, "def add(a, b)", "def add(a, b=c)"),
        "gone": edit(SUMS, "return a + b", "import os; os._exit(3)"),
    }
    asked = [sums.asked(name, edit, 1) for name, edit in edits.items()]
    answered = {answer["name"]: answer for answer in answers(sums.root, asked, jobs=2)}
    assert set(answered) == set(edits)
    outcomes = {name: sums.outcome(edits[name], answered[name]["failure"], 1) for name in edits if edits[name]}
    assert answered["right"]["failure"] is None
    assert {name: outcome.by for name, outcome in outcomes.items()} == {
        **{"harmless": "", "own": "own tests", "other": "other tests", "no module": "own tests"},
        **{"endless": "time or crash", "gone": "time or crash"},
    }
    assert outcomes["own"].where.startswith("tests/course/test_sums.py::test_add assert 0 == 2")
    assert sums.path.read_text() == SUMS
    assert not list(sums.root.glob("ended.json"))


def test_nothing_is_left_of_trials_that_nobody_waits_for(sums):
    endless = sums.asked("endless", edit(SUMS, "n = n - 1", "n = n + 1"), 60)
    answered = answers(sums.root, [endless, sums.asked("right", None, 60)], jobs=2)
    assert next(answered)["name"] == "right"
    assert len(list((sums.root / "_build").iterdir())) == 1
    answered.close()
    assert not list((sums.root / "_build").iterdir())


def test_an_edit_that_tests_let_pass_meets_a_chapter_with_the_edited_lib(sums, tmp_path):
    [path] = sums.chapters
    run = Run(tmp_path / "sums-of-two-0.json", read(path), path.parent, root=sums.root)
    unedited = [(run, run.make())]
    caught = meet(sums, Outcome(edit(SUMS, "a + b", "a - b")), unedited)
    assert (caught.by, caught.where) == ("a chapter", "sums-of-two cell 1: OtherOutput: -1")
    survivor = meet(sums, Outcome(edit(SUMS, "n > 0", "0 < n")), unedited)
    assert survivor.met_chapters and not survivor.by
    assert not list((sums.root / "_build").iterdir())


def test_outcomes_are_kept_and_only_survivors_are_tried_again_when_tests_change(sums, project):
    every = sums.to_try(1000, seed=0)
    assert sums.to_try(4, seed=0) == sums.to_try(4, seed=0) != sums.to_try(4, seed=1)
    killed, survivor = every[:2]
    sums.outcomes.add(Outcome(killed, "own tests", "test_add", sums.met, 0.1))
    sums.outcomes.add(Outcome(survivor, tests=sums.met))
    again = Subject(sums.module, Importers(project), sums.outcomes.folder)
    assert again.outcomes.by_edit == sums.outcomes.by_edit
    assert set(again.to_try(1000, seed=1)) == set(every[2:])
    (project / "tests/test_all.py").write_text(FILES["tests/test_all.py"] + "\ndef test_more():\n    pass\n")
    assert Subject(sums.module, Importers(project), sums.outcomes.folder).to_try(0, seed=0) == [survivor]
    sums.path.write_text(SUMS + "\nMORE = 1\n")
    assert not Subject(sums.module, Importers(project), sums.outcomes.folder).outcomes.by_edit


def test_an_edit_that_is_listed_is_not_tried_until_its_line_changes(sums, project, tmp_path):
    harmless = next(one for one in sums.to_try(1000, 0) if change(SUMS, one).endswith("n >= 0:"))
    assert place(SUMS, harmless) == "Counter.count" and place(SUMS, edit(SUMS, "Sums", "Sum")) == "the module"
    entry = {"in": "Counter.count", "edit": change(SUMS, harmless), "why": "the last turn takes 0 from 0"}
    file = tmp_path / "no_difference.yml"
    file.write_text(json.dumps({sums.module: [entry, entry | {"in": "add"}]}))
    same, old = listed(sums.module, "\n\n" + SUMS, file)
    assert [one.start for one in same] == [harmless.start + 2]
    assert old == [f"lib.course.sums · add: {entry['edit']}"]
    knowing = Subject(sums.module, Importers(project), tmp_path / "kept", file)
    assert set(sums.to_try(1000, 0)) - set(knowing.to_try(1000, 0)) == {harmless}
    same, old = listed(sums.module, SUMS.replace("n > 0", "n > 0.5"), file)
    assert not same and len(old) == 2


def test_the_report_counts_by_module_and_names_the_survivors(tmp_path):
    file = tmp_path / "no_difference.yml"
    file.write_text('lib.course.sums: [{in: add, edit: "return a + b → return b", why: "a is 0"}]')
    outcomes = Outcomes("lib.course.sums", SUMS, tmp_path)
    for n, by in enumerate(BY):
        outcomes.add(Outcome(Edit(n, n + 1, "x"), by, met_chapters=True))
    outcomes.add(Outcome(edit(SUMS, "n > 0", "n < 0"), met_chapters=True))
    outcomes.add(Outcome(edit(SUMS, "n + 0", "n - 0")))
    text = report([outcomes], file)
    for module in ("lib.course.sums", "all "):
        row = next(line for line in text.splitlines() if line.startswith(f"| {module}"))
        assert [int(count) for count in row.split("|")[2:-1]] == [7, 4, 57, 1, 1, 1, 1, 1, 2]
    assert "- lib.course.sums · Counter.count · line 9: while n > 0: → while n < 0:\n" in text
    assert "n - 0 (has met no chapter)" in text
    assert "Fewer than 80% are killed in: lib.course.sums" in text and "Fewer than 90% are killed in all." in text


def test_every_entry_of_the_list_fits_a_line_of_lib():
    importers = Importers(lib_mutants.ROOT)
    old = [entry for name in importers.modules for entry in listed(name, importers.path(name).read_text())[1]]
    assert not old
