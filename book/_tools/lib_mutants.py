"""Change `lib` in one place at a time, at random, and see whether a unit test or a chapter notices.

    python book/_tools/lib_mutants.py [--module "MODULE MODULE"] [--since COMMIT] [--count 10] [--seed 0] [--jobs CORES] [--chapters 3]

A module is named as `lib.course.ranges` or as `course.ranges`; `--since` leaves out those that a commit holds as they are.
Every edit is made in a copy of the tree, in which the
tests of its module run up to the first failure: its own, then others that import it. An edit that they all pass meets
the chapters that import the module, those with the fewest known seconds first, up to the first that notices. Tests and
chapters may take five times as long as without an edit. Edits that no_difference.yml lists are not tried.

What came of an edit is kept in _build/mutants/lib/ for as long as the module's text stands, so a draw with another seed
adds to the table. Survivors are tried again when tests or chapters of their module have changed.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from edits import Edit, draw, sites
from importers import Importers, code, imported
from mutants import MOST_SECONDS, SLOWER, new_run, noticed, without_figures
from outcomes import BY, NO_DIFFERENCE, Outcome, Outcomes, change, digest, listed, place, report
from runs import Run, describe, read, results
from toolbox import ROOT, in_plain_words, one_thread, require_kernel
from trials import new_copy

KEPT = ROOT / "_build" / "mutants" / "lib"
STARTING = 10  # CPU seconds that any tests may take beside five times those without an edit
OWN, OTHER, CHAPTER, TIME = BY


def modules_named(names: str, importers: Importers) -> list[str]:
    """The modules with these names, with or without `lib.`, separated by spaces; all of `lib` without a name."""
    wanted = [f"lib.{name.removeprefix('lib.')}" for name in names.split()]
    unknown = [name for name in wanted if name not in importers.modules]
    if unknown:
        sys.exit(f"There is no module {', '.join(unknown)}: give names such as {next(iter(importers.modules))}.")
    return wanted or list(importers.modules)


def changed_since(commit: str, importers: Importers) -> set[str]:
    """The modules that git finds changed since a commit, or new."""
    asked = ["git", "diff", "--name-only", "--diff-filter=d", commit, "--", "lib"]
    found = subprocess.run(asked, cwd=importers.root, capture_output=True, text=True)
    if found.returncode:
        sys.exit(f"git cannot say what has changed since {commit}: {found.stderr.strip()}")
    changed = {importers.root / name for name in found.stdout.splitlines()}
    return {module for module in importers.modules if importers.path(module) in changed}


class Subject:
    """A module of `lib` under `importers.root`, the tests and chapters that can notice a change of it, its outcomes."""

    def __init__(self, module: str, importers: Importers, kept: Path = KEPT, harmless: Path = NO_DIFFERENCE):
        self.module, self.root, self.path = module, importers.root, importers.path(module)
        self.text = self.path.read_text(encoding="utf-8")
        self.tests, self.chapters = importers.tests(module), importers.chapters(module)
        self.own = importers.own_test(module).relative_to(self.root).as_posix()
        met = [path.read_text(encoding="utf-8") for path in self.tests] + [code(path) for path in self.chapters]
        self.met = digest(*met)
        self.outcomes = Outcomes(module, self.text, kept)
        self.same = listed(module, self.text, harmless)[0]

    def to_try(self, count: int, seed: int) -> list[Edit]:
        """The edits of a draw that were not tried, and those that other tests or chapters let pass; none that is listed."""
        known = self.outcomes.by_edit
        old = [outcome.edit for outcome in self.outcomes.survivors() if outcome.tests != self.met]
        new = [edit for edit in draw(sites(self.text), count, f"{seed} {self.module}") if edit not in known]
        return [edit for edit in old + new if edit not in self.same]

    def asked(self, name: str, edit: Edit | None, seconds: float) -> dict:
        """What trials.py is asked, for an edit or for none."""
        tests = [path.relative_to(self.root).as_posix() for path in self.tests]
        source = edit.of(self.text) if edit else None
        file = self.path.relative_to(self.root).as_posix()
        return {"name": name, "file": file, "source": source, "tests": tests, "seconds": seconds}

    def outcome(self, edit: Edit, failure: dict | None, seconds: float) -> Outcome:
        """The outcome of the tests."""
        if not failure:
            return Outcome(edit, tests=self.met, seconds=seconds)
        by = TIME if not failure["test"] else OWN if failure["test"].startswith(self.own) else OTHER
        return Outcome(edit, by, f"{failure['test']} {failure['what']}".strip(), self.met, seconds)

    def describe(self, edit: Edit) -> str:
        line = edit.lines(self.text)[0]
        return f"{self.module} · {place(self.text, edit)} · line {line}: {change(self.text, edit)}"


def answers(root: Path, asked: list[dict], jobs: int) -> Iterator[dict]:
    """What trials.py answers, as it comes."""
    files = [*root.glob("lib/**/*.py"), *{root / test for one in asked for test in one["tests"]}]
    names = set().union(*(imported(path.read_text(encoding="utf-8")) for path in files))
    tools = {path.stem for path in root.glob("book/_*/*")} | {"lib"}
    loaded = sorted(name for name in names if name.split(".")[0] not in tools)
    command = [sys.executable, Path(__file__).with_name("trials.py"), root, str(jobs), *loaded]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=one_thread())
    try:
        process.stdin.writelines(json.dumps(one) + "\n" for one in asked)
        process.stdin.close()
        yield from map(json.loads, process.stdout)
        process.wait()
    finally:
        process.terminate()
        process.stdout.close()
        process.wait()
    if process.returncode:
        raise RuntimeError(f"The process that runs the tests has ended with {process.returncode}; see its message above.")


def try_tests(subjects: list[Subject], count: int, seed: int, jobs: int) -> list[str]:
    """Run the tests on each edit of a draw, and keep what came; returns the modules whose tests fail without an edit."""
    edits = {subject.module: subject.to_try(count, seed) for subject in subjects}
    by_name = {subject.module: subject for subject in subjects if edits[subject.module] and subject.tests}
    first = [subject.asked(name, None, MOST_SECONDS) for name, subject in by_name.items()]
    broken, asked, wanted = [], [], {}
    for answer in answers(subjects[0].root, first, jobs) if first else []:
        name = answer["name"]
        if answer["failure"]:
            broken.append(f"{name}: its tests fail without an edit: {' '.join(answer['failure'].values())}")
            continue
        for edit in edits[name]:
            wanted[f"{name} {len(asked)}"] = (by_name[name], edit)
            limit = SLOWER * answer["seconds"] + STARTING
            asked.append(by_name[name].asked(f"{name} {len(asked)}", edit, limit))
    for done, answer in enumerate(answers(subjects[0].root, asked, jobs) if asked else [], 1):
        subject, edit = wanted[answer["name"]]
        outcome = subject.outcome(edit, answer["failure"], answer["seconds"])
        subject.outcomes.add(outcome)
        verdict = f"killed by {outcome.by}" if outcome.by else "PASSES"
        print(f"{done} of {len(asked)} · {outcome.seconds} s · {verdict}: {subject.describe(edit)}", flush=True)
    return broken


def try_chapters(subjects: list[Subject], most: int, jobs: int) -> list[str]:
    """Run chapters on each edit that the tests let pass; returns the chapters that fail without an edit."""
    passed = {s: [o for o in s.outcomes.survivors() if not o.met_chapters and o.edit not in s.same] for s in subjects}
    notebooks = {path: without_figures(read(path)) for s in subjects if passed[s] for path in s.chapters}
    runs = {path: new_run(path, notebook, MOST_SECONDS) for path, notebook in notebooks.items()}
    known = {path: (run.stored() or {"seconds": math.inf})["seconds"] for path, run in runs.items()}
    lines = {path: sum(cell.source.count("\n") for cell in notebooks[path].cells) for path in runs}
    chosen = {s: sorted(s.chapters, key=lambda p: (known[p], lines[p]))[:most] for s in subjects if passed[s]}
    unedited, broken = {}, []
    needed = {runs[path]: path for paths in chosen.values() for path in paths}
    for run, result in results(needed, jobs):
        if result["error"]:
            broken.append(f"{needed[run].stem} fails without an edit: {describe(result['error'])}")
        else:
            unedited[needed[run]] = (run, result)
    with ThreadPoolExecutor(jobs) as pool:
        made = {}
        for subject, paths in chosen.items():
            right = [unedited[path] for path in paths if path in unedited]
            made |= {pool.submit(meet, subject, outcome, right): subject for outcome in passed[subject]}
        for done, future in enumerate(as_completed(made), 1):
            subject, outcome = made[future], future.result()
            subject.outcomes.add(outcome)
            verdict = f"killed by {outcome.by}" if outcome.by else "SURVIVES"
            print(f"{done} of {len(made)} · {verdict}: {subject.describe(outcome.edit)}", flush=True)
    return broken


def meet(subject: Subject, outcome: Outcome, unedited: list[tuple[Run, dict]]) -> Outcome:
    """The outcome after the chapters have run with an edit, up to the first that notices."""
    for run, right in unedited:
        folder = new_copy(subject.root, subject.path.relative_to(subject.root).as_posix(), outcome.edit.of(subject.text))
        try:
            seconds = max(SLOWER * right["seconds"], STARTING)
            edited = Run(folder / "run.json", run.notebook, run.folder, seconds=seconds, root=folder)
            error = noticed(edited.make(), right)
        finally:
            shutil.rmtree(folder)
        if error:
            where = f"{run.file.stem.rsplit('-', 1)[0]} {describe(error)}"
            return replace(outcome, by=CHAPTER, where=where, met_chapters=True)
    return replace(outcome, met_chapters=True)


@in_plain_words
def main() -> int:
    parser = argparse.ArgumentParser(description="Change lib in one place at a time and see what notices.")
    parser.add_argument("--module", default="", help="only these modules of lib")
    parser.add_argument("--since", default="", metavar="COMMIT", help="only modules that have changed since")
    parser.add_argument("--count", type=int, default=10, help="edits of each module")
    parser.add_argument("--seed", type=int, default=0, help="the draw's seed")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes at once")
    parser.add_argument("--chapters", type=int, default=3, help="how many chapters an edit meets that tests let pass")
    arguments = parser.parse_args()
    importers = Importers(ROOT)
    names = modules_named(arguments.module, importers)
    if arguments.since:
        changed = changed_since(arguments.since, importers)
        names = [name for name in names if name in changed]
        if not names:
            print(f"No module of lib has changed since {arguments.since}.")
            return 0
    subjects = [Subject(name, importers) for name in names]
    broken = try_tests(subjects, arguments.count, arguments.seed, arguments.jobs)
    if arguments.chapters:
        require_kernel()
        broken += try_chapters(subjects, arguments.chapters, arguments.jobs)
    print(f"\n{report([subject.outcomes for subject in subjects])}")
    print("\n".join(broken))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
