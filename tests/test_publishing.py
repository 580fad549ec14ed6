"""Publishing: the workflows name what exists, pin what they use and may do little; the branch holds the built site."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from toolbox import ROOT

from lib.chapter.addresses import PUBLISHED_BRANCH

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
JOBS = [
    pytest.param(job, id=f"{path.stem}-{name}")
    for path in WORKFLOWS
    for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
]


def existing(command: str) -> bool:
    """Whether a step runs one target of the Makefile or one program of the repository, and nothing else."""
    if target := re.fullmatch(r"make ([a-z]+)", command.strip()):
        return target[1] in TARGETS
    return (ROOT / command.strip()).is_file()


def test_there_are_workflows():
    assert [path.stem for path in WORKFLOWS] == ["publish", "weekly"]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_has_a_limit_and_its_steps_exist_and_are_pinned(job):
    assert job["timeout-minutes"] <= 90
    assert re.fullmatch(r"ubuntu-\d\d\.\d\d", job["runs-on"])
    for step in job["steps"]:
        assert ("run" in step) != ("uses" in step), step
        if "run" in step:
            assert existing(step["run"]), f"neither a target nor a file: {step['run']}"
        else:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]), f"neither GitHub's own nor pinned: {step['uses']}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_only_what_publishes_may_write(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"} and workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        runs = [step.get("run") for step in job["steps"]]
        checkout = next(step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@"))
        if "make publish" in runs:
            assert job["permissions"] == {"contents": "write"} and job["needs"] and "main" in job["if"]
            assert set(runs) == {None, "make publish"}, "something else runs with the right to write"
        else:
            assert "permissions" not in job, name
            assert checkout["with"]["persist-credentials"] is False, name


def test_the_weekly_run_is_cold_and_knows_every_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8"))
    assert workflow[True]["schedule"]  # YAML reads the key `on` as true
    cold = workflow["jobs"]["cold"]
    assert not any("cache" in step.get("with", {}) for step in cold["steps"])
    first, *_, last = cold["strategy"]["matrix"]["python"]
    assert f"Python {first} to {last}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A repository with the tool, a built site and a remote."""
    if not shutil.which("git"):
        pytest.skip("there is no git")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@example.org")
    folder = tmp_path / "copy"
    tool = folder / "book" / "_tools" / "publish.py"
    tool.parent.mkdir(parents=True)
    shutil.copy(ROOT / "book" / "_tools" / "publish.py", tool)
    site = folder / "_build" / "html"
    (site / "standalone").mkdir(parents=True)
    (site / "standalone" / "rope.ipynb").write_text("{}")
    (site / "index.html").write_text("first")
    (folder / ".gitignore").write_text("_build/\n")
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Source")
    git(folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def publish(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-I", folder / "book/_tools/publish.py"], capture_output=True, text=True)


def test_the_branch_holds_the_built_site_and_keeps_what_was_published(copy):
    remote = copy.parent / "remote.git"
    before = git(copy, "status", "--porcelain"), git(copy, "rev-parse", "HEAD")
    assert publish(copy).returncode == 0
    (copy / "_build/html/index.html").write_text("second")
    done = publish(copy)
    assert done.returncode == 0, done.stderr
    files = git(remote, "ls-tree", "-r", "--name-only", PUBLISHED_BRANCH).split()
    assert files == [".nojekyll", "index.html", "standalone/rope.ipynb"]
    assert git(remote, "show", f"{PUBLISHED_BRANCH}:index.html") == "second"
    assert git(remote, "show", f"{PUBLISHED_BRANCH}~1:index.html") == "first"
    assert (git(copy, "status", "--porcelain"), git(copy, "rev-parse", "HEAD")) == before


def test_publishing_from_a_shallow_clone(copy):
    """That is what a workflow has."""
    remote = copy.parent / "remote.git"
    publish(copy)
    git(copy, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    shallow = copy.parent / "shallow"
    git(copy.parent, "clone", "--quiet", "--depth=1", "--branch=main", remote.as_uri(), str(shallow))
    shutil.copytree(copy / "_build", shallow / "_build")
    done = publish(shallow)
    assert done.returncode == 0, done.stderr
    assert git(remote, "rev-list", "--count", PUBLISHED_BRANCH).strip() == "2"


def test_half_a_site_is_not_published(copy):
    (copy / "_build" / ".unfinished").touch()
    assert "failed or was stopped: build it again" in publish(copy).stderr


def test_without_a_site_or_a_remote_nothing_is_published(copy):
    git(copy, "remote", "remove", "origin")
    assert "no remote named origin" in publish(copy).stderr
    (copy / "_build/html/index.html").unlink()
    assert "build it with make site" in publish(copy).stderr
