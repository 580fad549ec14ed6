"""What the tools do when something goes wrong: they are killed, the disk is full or read-only, a notebook is spoilt.

    python book/_tools/faults.py [--runs 10] [--sites 3] [--seed 0]

All of it happens to a small book in a temporary folder, whose name has spaces and letters that are not ASCII. The table
names each fault, what was done, and whether the book came out right. What a test can try in a second, tests/test_faults.py
tries too.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import new_chapter
import psutil
from runs import table
from toolbox import ROOT, in_plain_words

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
    script = 'folder=$1; shift; mount --bind "$folder" "$folder"; mount -o remount,bind,ro "$folder"; cd .; cd "$PWD"; exec "$@"'
    mounts = private_mounts()
    return [*mounts, "sh", "-c", script, "sh", folder] if mounts else []


Row = tuple[str, str, str]  # the fault, what was done, and what came of it, "right" where all is well


def killed_runs(book: SmallBook, count: int, draw: random.Random) -> Iterator[Row]:
    """`make run` ends at a random moment: the notebook is the old or the new one, and the next run is right."""
    arguments = ("run", f"CHAPTER={SLUGS[0]}")
    path, old = book.chapter(SLUGS[0]), book.begin(SLUGS[0])
    seconds, _ = book.timed(*arguments)
    new, number = path.read_bytes(), 0
    while number < count:
        book.begin(SLUGS[0])
        # every second moment is late, when the notebook is stored
        after = draw.uniform(0 if number % 2 else 0.8 * seconds, seconds)
        if not book.killed(after, *arguments):
            seconds *= 0.9  # the computer has become faster
            continue
        number += 1
        held = {old: "the old notebook", new: "the new notebook"}.get(path.read_bytes(), "HALF A NOTEBOOK")
        left = book.left_at_work()
        done = f"after {after:.1f} of {seconds:.1f} s: {held}, {left} processes left"
        seconds, again = book.timed(*arguments)
        right = path.read_bytes() == new != old and not left and held != "HALF A NOTEBOOK"
        strays = [entry.name for entry in path.parent.iterdir() if entry.suffix != ".ipynb"]
        yield f"make run killed, {number}", done, verdict(right and not strays, again)


def killed_sites(book: SmallBook, count: int, draw: random.Random) -> Iterator[Row]:
    """`make site` ends at a random moment: the next one makes the site that an undisturbed one makes."""
    for slug in SLUGS:
        book.begin(slug)
        book.make("run", f"CHAPTER={slug}")
    shutil.rmtree(book.root / "_build", ignore_errors=True)
    seconds, made = book.timed("site")
    site, number = book.site(), 0
    yield "none: make site", f"{len(site)} files in {seconds:.0f} s", verdict(made.returncode == 0 and len(site) > 50, made)
    while number < count:
        shutil.rmtree(book.root / "_build")
        after = draw.uniform(0.2 * seconds, seconds)
        if not book.killed(after, "site"):
            seconds *= 0.9
            continue
        number += 1
        done = f"after {after:.1f} of {seconds:.1f} s, with {len(book.site())} of {len(site)} files"
        left = book.left_at_work()
        seconds, again = book.timed("site")
        yield f"make site killed, {number}", done, verdict(again.returncode == 0 and book.site() == site and not left, again)


def full_disks(book: SmallBook) -> Iterator[Row]:
    slug = SLUGS[0]
    path, old = book.chapter(slug), book.begin(slug)
    before = on_a_full_disk(str(path.parent))
    if not before:
        yield "full disk", "skipped: this system lets nobody but root mount a small disk", "not tried"
        return
    run = book.make("run", f"CHAPTER={slug}", before=before)
    after = path.parent.with_name(f"{PART} after")
    told = run.returncode and "The disk is full" in run.stdout and "Traceback" not in run.stdout
    kept = (after / path.name).read_bytes() == old and [entry.name for entry in after.glob(".*.half")] == []
    yield "full disk, make run", said(run), verdict(told and kept, run)
    shutil.rmtree(after)
    shutil.rmtree(book.root / "_build", ignore_errors=True)
    (book.root / "_build").mkdir()
    run = book.make("site", before=on_a_full_disk(str(book.root / "_build"), room=500))
    told = run.returncode and "There is no new site: free some room, the disk is full" in run.stdout
    shutil.rmtree(book.root / "_build after")
    yield "full disk, make site", said(run), verdict(told, run)


def read_only_checkouts(book: SmallBook) -> Iterator[Row]:
    slug = SLUGS[0]
    book.begin(slug)
    book.make("run", f"CHAPTER={slug}")
    shutil.rmtree(book.root / "_build", ignore_errors=True)
    before, held = read_only(str(book.root)), digests(book.root / "book")
    if not before:
        yield "read-only checkout", "skipped: this system lets nobody but root mount", "not tried"
        return
    for arguments, words in {
        ("run", f"CHAPTER={slug}"): "cannot be written: give yourself the right to",
        ("sweep", f"CHAPTER={slug}", "SEEDS=1"): "cannot be written: give yourself the right to",
        ("chapter", "PART=attention", "SLUG=gau-flash"): "cannot be written: give yourself the right to",
        ("site",): "_build cannot be written: give yourself the right to",
    }.items():
        run = book.make(*arguments, before=before)
        told = run.returncode and words in run.stdout and "Traceback" not in run.stdout
        yield f"read-only checkout, make {arguments[0]}", said(run), verdict(told and digests(book.root / "book") == held, run)
    run = book.make("notebooks", f"CHAPTER={slug}", before=before)
    yield "read-only checkout, make notebooks", "compares, since that writes nothing", verdict(run.returncode == 0, run)


def spoilt_notebooks(book: SmallBook) -> Iterator[Row]:
    slug = SLUGS[0]
    whole = book.begin(slug)
    path = book.chapter(slug)
    spoilt = {"half a notebook": whole[: len(whole) // 2], "no text": b"\xff\xfe\x00", "another JSON": b"[1]", "empty": b""}
    ways = [("run",), ("notebooks",), ("contract",), ("sweep", "SEEDS=1"), ("mutants", "COUNT=1"), ("site",)]
    for (what, content), arguments in [(item, way) for way in ways for item in list(spoilt.items())[: 4 if way == ways[0] else 1]]:
        path.write_bytes(content)
        run = book.make(*arguments, *([] if arguments == ("site",) else [f"CHAPTER={slug}"]))
        told = run.returncode and f"{slug}.ipynb is not a notebook" in run.stdout and "git checkout --" in run.stdout
        plain = "Traceback" not in run.stdout and path.read_bytes() == content
        yield f"{what}, make {arguments[0]}", said(run, "is not a notebook"), verdict(told and plain, run)
    book.begin(slug)


def missing_kernels(book: SmallBook) -> Iterator[Row]:
    """An installation without ipykernel."""
    slug = SLUGS[0]
    held = book.begin(slug)
    stub = book.root.parent / "without ipykernel"
    stub.mkdir()
    (stub / "sitecustomize.py").write_text("import sys; sys.modules['ipykernel'] = None")
    path = os.pathsep.join([str(stub), str(book.root)])
    for name in ("run", "notebooks"):
        run = book.make(name, f"CHAPTER={slug}", PYTHONPATH=path)
        told = run.returncode and "There is no kernel to run notebooks in" in run.stdout and "Traceback" not in run.stdout
        yield f"no kernel, make {name}", said(run, "kernel"), verdict(told and book.chapter(slug).read_bytes() == held, run)


def verdict(right: object, run: subprocess.CompletedProcess) -> str:
    if not right:
        print(run.stdout, file=sys.stderr)
    return "right" if right else "WRONG"


def said(run: subprocess.CompletedProcess, words: str = "") -> str:
    """The line in which a tool said what is wrong: the last that is not make's own."""
    lines = [line for line in run.stdout.splitlines() if line.strip() and not line.startswith("make")]
    lines = [line for line in lines if words in line] or lines
    return lines[-1][:160] if lines else "nothing"


@in_plain_words
def main() -> int:
    parser = argparse.ArgumentParser(description="Try what the tools do when something goes wrong.")
    parser.add_argument("--runs", type=int, default=10, help="how often make run is killed")
    parser.add_argument("--sites", type=int, default=3, help="how often make site is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    draw, rows = random.Random(arguments.seed), []
    trials: list[Callable[[SmallBook], Iterator[Row]]] = [
        missing_kernels,
        spoilt_notebooks,
        read_only_checkouts,
        full_disks,
        lambda book: killed_runs(book, arguments.runs, draw),
        lambda book: killed_sites(book, arguments.sites, draw),
    ]
    with tempfile.TemporaryDirectory() as folder:
        book = SmallBook(Path(folder))
        for trial in trials:
            for row in trial(book):
                print(f"{row[2]}: {row[0]}: {row[1].replace(folder, '')}", flush=True)
                rows.append([row[0], row[1].replace(folder, ""), row[2]])
    wrong = sum(row[2] == "WRONG" for row in rows)
    print(f"\nSeed {arguments.seed}, in a folder called {NAME!r}\n\n{table(['fault', 'what came of it', 'the book'], rows)}")
    print(f"\n{wrong} of {len(rows)} faults leave something wrong." if wrong else f"\nAll {len(rows)} faults end well.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
