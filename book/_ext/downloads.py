"""When the site is built, write the standalone notebook of every chapter beside its pages."""

import sys
from pathlib import Path

from chapters import ROOT

sys.path.append(str(ROOT / "book" / "_tools"))
from standalone import write_all  # noqa: E402


def write_notebooks(app, exception):
    if exception is None and app.builder.format == "html":
        write_all(Path(app.outdir, "standalone"))


def setup(app):
    app.connect("build-finished", write_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
