"""Push the built site to the branch gh-pages of `origin`, as one commit on top of what is there.

It needs git and any Python, so that a machine can publish a site that another one built.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
UNFINISHED = ROOT / "_build" / ".unfinished"  # build_site.py removes it
BRANCH = "gh-pages"


def git(*arguments: str, **environment: str) -> str:
    """Run git in the repository and return what it printed; its errors stop the tool."""
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"git {arguments[0]} failed: its message is above. Nothing was published.")
    return done.stdout.strip()


def main() -> None:
    if not (SITE / "index.html").exists():
        sys.exit("There is no site yet: build it with make site.")
    if UNFINISHED.exists():
        sys.exit("The last build of the site failed or was stopped: build it again with make site.")
    if "origin" not in git("remote").split():
        sys.exit("This repository has no remote named origin: add one with git remote add origin ADDRESS.")
    (SITE / ".nojekyll").touch()  # else GitHub leaves out the folders that begin with an underscore
    published = git("ls-remote", "origin", f"refs/heads/{BRANCH}").split()
    parent = []
    if published:
        git("fetch", "--quiet", "origin", BRANCH)
        parent = ["-p", published[0]]
    with tempfile.TemporaryDirectory() as folder:
        repository = git("rev-parse", "--absolute-git-dir")
        index = {"GIT_INDEX_FILE": f"{folder}/index", "GIT_WORK_TREE": str(SITE), "GIT_DIR": repository}
        print("Collecting the site", flush=True)
        git("add", "--all", "--force", str(SITE), **index)
        tree = git("write-tree", **index)
    commit = git("commit-tree", tree, *parent, "-m", "Publish the site")
    print(f"Pushing to {BRANCH}", flush=True)
    git("push", "origin", f"{commit}:refs/heads/{BRANCH}")
    print(f"Published. Let the host serve the branch {BRANCH}.")


if __name__ == "__main__":
    main()
