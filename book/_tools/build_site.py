"""Build the website into _build/html; warnings are errors.

After a build that failed or was stopped the next one starts afresh: else it would not repeat the warnings, and would take
half a file for a whole one.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from toolbox import ROOT, Chapter, chapter_paths, in_plain_words

BUILD = ROOT / "_build"
UNFINISHED = BUILD / ".unfinished"
OF_A_BUILD = (".doctrees", "jupyter_execute", "html")
JUPYTER_BOOK = Path(sys.executable).with_name("jupyter-book")
LITTLE = 5e6  # bytes; with less room, that is why a build failed


@in_plain_words
def main() -> None:
    for path in chapter_paths():
        Chapter(path)  # Sphinx would tell in a page of its own calls that a file is no notebook
    BUILD.mkdir(exist_ok=True)
    if UNFINISHED.exists():
        print("The last build was not finished: starting afresh", flush=True)
        for name in OF_A_BUILD:
            shutil.rmtree(BUILD / name, ignore_errors=True)
    UNFINISHED.touch()
    if subprocess.run([JUPYTER_BOOK, "build", ".", "-W", "-n", "--keep-going"], cwd=ROOT, check=False).returncode:
        full = shutil.disk_usage(BUILD).free < LITTLE
        remedy = "free some room, the disk is full," if full else "mend what is said above,"
        sys.exit(f"There is no new site: {remedy} then make site again.")
    UNFINISHED.unlink()
    print("Open _build/html/index.html, or serve it with: make read")


if __name__ == "__main__":
    main()
