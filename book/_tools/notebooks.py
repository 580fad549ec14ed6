"""Run every chapter of the book and compare its outputs with the stored ones, to the last character.

On Linux the kernels are forked; elsewhere, where libraries may not survive that, they start afresh.

    python book/_tools/notebooks.py [SLUG]
"""

import os
import sys

import pytest
from toolbox import ROOT, Chapter, chapters_named, in_plain_words, one_thread, require_kernel

STRICT = [
    "-pno:cacheprovider",  # comparing writes nothing into the checkout
    "--nbval",
    "--nbval-current-env",
    "--nbval-cell-timeout=300",
    f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval-sanitize.cfg'}",
]


@in_plain_words
def main(slug: str | None = None) -> int:
    require_kernel()
    paths = [str(Chapter(path).path) for path in chapters_named(slug)]  # nbval would show a file that is no notebook as a fault of its own
    if not paths:
        print("There is no chapter in _toc.yml yet, so there is nothing to run.")
        return 0
    environment = one_thread()
    os.environ.clear()
    os.environ.update(environment)
    names = ["nbval.plugin", "xdist.plugin", "kernel_meter"] + (["forked_kernels"] if sys.platform == "linux" else [])
    plugins = ["--disable-plugin-autoload", *(f"-p{name}" for name in names)]
    # loadfile: the cells of a notebook share a kernel, so they stay on one worker
    return pytest.main([*plugins, *STRICT, "-q", "-n", "2", "--dist", "loadfile", *paths])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
