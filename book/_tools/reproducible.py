"""Build the site of one commit twice and compare both, byte for byte.

    python book/_tools/reproducible.py [COMMIT]

The two differ in what should not matter: the folder and its name, the time and its zone, the order of Python's sets, the
language, and the rights of new files; and in whether the formulas are typeset, or were kept by the build before. A third
build, on top of the second and with nothing changed, must change nothing.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from runs import table
from small_book import digests
from toolbox import ROOT, in_plain_words

FORMULAS = "_build/formulas.json"
FIRST = {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
SECOND = {"PYTHONHASHSEED": "2", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
SHOWN = 40  # differences, of which a table names that many
NAMED = {".buildinfo": "Sphinx notes there for itself in which folder it worked"}  # no page is made of it


def export(commit: str, folder: Path) -> None:
    """Write the files of a commit into a folder, where the tools find this installation."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    (folder / ".venv").symlink_to(Path(sys.prefix).resolve())


def build(folder: Path, environment: dict[str, str], umask: int) -> dict[str, str]:
    """Build the site of a folder; returns a digest of each of its files."""
    start = time.monotonic()
    environment = os.environ | environment | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "book/_tools/build_site.py"]
    run = subprocess.run(command, cwd=folder, env=environment, umask=umask, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{run.stdout[-3000:]}{run.stderr[-3000:]}\nThe commit does not build: mend what is said above.")
    site = digests(folder / "_build" / "html")
    print(f"{len(site)} files in {time.monotonic() - start:.0f} s", flush=True)
    return site


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The files that one of two sites lacks, or that differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def first_difference(one: Path, other: Path) -> str:
    """Where two files differ first, with what stands there."""
    if not (one.exists() and other.exists()):
        return "only one of them has it"
    a, b = one.read_bytes(), other.read_bytes()
    place = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"byte {place}: {a[place - 20 : place + 20]!r} and {b[place - 20 : place + 20]!r}"


@in_plain_words
def main(commit: str = "HEAD") -> int:
    found = subprocess.run(["git", "rev-parse", "--short", commit], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"There is no commit {commit} here: {found.stderr.strip().splitlines()[-1]}")
    print(f"Building commit {found.stdout.strip()} three times, which takes minutes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder, "one"), Path(folder, "Ein anderes Büch 書")
        for copy in (one, other):
            export(commit, copy)
        first = build(one, FIRST, 0o022)
        (other / "_build").mkdir()
        (other / FORMULAS).write_bytes((one / FORMULAS).read_bytes())
        second = build(other, SECOND, 0o077)
        differ = differences(first, second)
        rows = [
            [name, first_difference(one / "_build/html" / name, other / "_build/html" / name), NAMED.get(name, "UNKNOWN")]
            for name in differ[:SHOWN]
        ]
        third = build(other, FIRST, 0o022)
    changed = differences(second, third)
    if rows:
        print(f"\n{table(['file', 'where the two differ first', 'why'], rows)}")
    unknown = [name for name in differ if name not in NAMED]
    print(
        f"\n{len(first)} files. Between two builds {len(differ)} differ, {len(unknown)} of them without a known reason; "
        f"one more build changes {len(changed)}."
    )
    print("\n".join(changed[:SHOWN]))
    return 1 if unknown or changed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
