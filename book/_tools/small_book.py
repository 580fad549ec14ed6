"""A book of two chapters in a folder of its own, with the tools of this one, and disks on which things go wrong for it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import new_chapter
import psutil
from toolbox import ROOT

PART, SLUGS = "attention", ("rope", "performer")
COPIED = [
    "Makefile", "_config.yml", "pyproject.toml", "requirements.txt", "tests/requirements.txt", "tests/nbval-sanitize.cfg", "lib",
    "book/_ext", "book/_tools", "book/syllabus.yml", "book/terms.yml",
]  # fmt: skip
TOC = f"{{format: jb-book, root: book/index, parts: [{{chapters: [{', '.join(f'{{file: book/{PART}/{slug}}}' for slug in SLUGS)}]}}]}}"
PRINTED = 'print("one of many lines\\n" * 50_000)'  # so that storing takes long enough to be hit
NAME = "Ein Büch 書 of faults"
MARK = "BOOK_FAULTS"  # in the environment of all that is started here
ENDS_WITHIN = 30  # seconds for a kernel whose tool was killed


class SmallBook:
    """A book of two chapters in a folder of its own, with the tools of this one."""

    def __init__(self, folder: Path):
        self.root = folder / NAME
        for name in COPIED:
            source, target = ROOT / name, self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        (self.root / ".venv").symlink_to(Path(sys.prefix).resolve())
        (self.root / "_toc.yml").write_text(TOC, encoding="utf-8")
        (self.root / "book" / "index.md").write_text("# A small book\n\n```{claims}\n```\n", encoding="utf-8")
        for slug in SLUGS:
            self.chapter(slug).parent.mkdir(exist_ok=True)
            self.begin(slug)

    def chapter(self, slug: str) -> Path:
        return self.root / "book" / PART / f"{slug}.ipynb"

    def begin(self, slug: str) -> bytes:
        """Give a chapter the form in which it was never run; returns the file's bytes."""
        content = new_chapter.template(f"The {slug}", "11")
        printing = new_chapter.code(PRINTED) | {"id": "many"}
        content["cells"].insert(-1, printing)
        path = self.chapter(slug)
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        return path.read_bytes()

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.root), MARK: str(self.root), "LC_ALL": "C.UTF-8"}

    def command(self, *arguments: str) -> list[str]:
        """`make` with these arguments; the installation counts as up to date, whatever the copies' dates."""
        return ["make", "-o", ".venv/.site", "-o", ".venv/.tests", *arguments]

    def make(self, *arguments: str, before: list[str] = [], **environment: str) -> subprocess.CompletedProcess:  # noqa: B006
        """Run `make` in the book's folder; what it says on both streams is in `stdout`."""
        return subprocess.run(
            [*before, *self.command(*arguments)], cwd=self.root, env=self.environment | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip

    def timed(self, *arguments: str) -> tuple[float, subprocess.CompletedProcess]:
        """`make`, and the seconds that it took."""
        start = time.monotonic()
        run = self.make(*arguments)
        return time.monotonic() - start, run

    def killed(self, seconds: float, *arguments: str) -> bool:
        """Start `make`, and kill it with all its children after some seconds; returns whether it was still at work."""
        made = subprocess.Popen(
            self.command(*arguments), cwd=self.root, env=self.environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        with suppress(subprocess.TimeoutExpired):
            made.wait(seconds)
            return False
        os.killpg(made.pid, signal.SIGKILL)
        made.wait()
        return True

    def left_at_work(self) -> int:
        """How many processes that were started here have not ended after a while."""
        end = time.monotonic() + ENDS_WITHIN
        while (alive := sum(map(self.is_ours, psutil.process_iter()))) and time.monotonic() < end:
            time.sleep(0.2)
        return alive

    def is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == str(self.root)
        return False

    def site(self) -> dict[str, str]:
        """A digest of every file of the built site."""
        return digests(self.root / "_build" / "html")


def digests(folder: Path) -> dict[str, str]:
    """A digest of every file of a folder, by its place in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def private_mounts() -> list[str]:
    """The command that gives another one mounts of its own; empty where that is not allowed."""
    unshare = shutil.which("unshare")
    if sys.platform != "linux" or unshare is None:
        return []
    command = [unshare, "--mount"] if os.geteuid() == 0 else [unshare, "--mount", "--user", "--map-root-user"]
    trial = [*command, "sh", "-c", "mount -t tmpfs tmpfs /tmp"]
    return command if subprocess.run(trial, capture_output=True, check=False).returncode == 0 else []


def on_a_full_disk(folder: str, room: int = 0) -> list[str]:
    """What to put before a command that finds a folder on a disk with so many free KB; empty where that is not allowed.

    What the folder holds is there, and what becomes of it is copied to `…after` when the command has ended.
    """
    script = (
        'folder=$1; shift; held=$(mktemp -d); cp -a "$folder/." "$held"; mount -t tmpfs -o size=20m tmpfs "$folder"; '
        'cp -a "$held/." "$folder"; rm -r "$held"; head -c 20m /dev/zero > "$folder/.filler" 2>/dev/null; '
        f'[ {room} = 0 ] || truncate -s -{room}K "$folder/.filler"; '
        '"$@"; rc=$?; rm "$folder/.filler"; cp -a "$folder" "$folder after"; exit $rc'
    )
    mounts = private_mounts()
    return [*mounts, "sh", "-c", script, "sh", folder] if mounts else []


def read_only(folder: str) -> list[str]:
    """What to put before a command that finds a folder read-only; empty where that is not allowed."""
    script = 'folder=$1; shift; mount --bind "$folder" "$folder"; mount -o remount,bind,ro "$folder"; cd "$PWD"; exec "$@"'
    mounts = private_mounts()
    return [*mounts, "sh", "-c", script, "sh", folder] if mounts else []
