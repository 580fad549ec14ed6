"""What the tools do when something goes wrong: they are killed, the disk is full or read-only, a notebook is spoilt.

    python book/_tools/faults.py [--runs 10] [--sites 3] [--seed 0]

All of it happens to a small book in a temporary folder, whose name has spaces and letters that are not ASCII. The table
names each fault, what was done, and whether the book came out right. What a test can try in a second, test_faults.py
tries too.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from runs import table
from small_book import NAME, PART, SLUGS, SmallBook, digests, on_a_full_disk, read_only
from toolbox import in_plain_words

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
