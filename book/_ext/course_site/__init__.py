"""The one Sphinx extension of the book: what only a website can do is added here, never typed into a cell."""

from pathlib import Path

from sphinx.util import logging

from lib.chapter.book import chapters
from lib.chapter.standalone import write_all

from . import (
    api, assets, benchmarks, callouts, cells, claims, corrections, descriptions, digests, exercises, formulas, glossary,
    head, header_card, home, learning_map, light, mathematics, needed_for, overviews, pages, paper, policy, progress,
    published, references, screens, search, sources,
)  # fmt: skip

LOGGER = logging.getLogger(__name__)

# In the order in which they run.
TRANSFORMS = {
    180: cells.CodeCells,
    190: header_card.HeaderCard,  # before call-outs, as the source note is typed as one
    200: callouts.Callouts,  # before quotation marks are educated, which changes texts
    205: mathematics.LiftDisplays,
    210: claims.Ticks,
    220: references.EquationReferences,
    230: exercises.ExerciseAddresses,
    240: api.LibLinks,
}
POST_TRANSFORMS = {300: cells.Folds, 410: mathematics.GluePunctuation}
DIRECTIVES = {
    "totals": claims.Totals,
    "claims": claims.Claims,
    "claim-example": home.ClaimExample,
    "learning-map": learning_map.LearningMap,
    "paths": home.Paths,
    "unwritten": home.Unwritten,
    "progress": progress.ProgressTools,
    "digests": digests.Digests,
    "corrections": corrections.Corrections,
    "production": overviews.Production,
    "exercises": exercises.Exercises,
    "benchmark-ratios": benchmarks.Ratios,
    "growth": benchmarks.Growth,
    "gpu-result": benchmarks.OnGpu,
    "glossary-of-chapters": glossary.Glossary,
    "sources": sources.Sources,
    "api": api.Api,
}


def report_problems(app, env, docnames):
    """Every build says what may not be published, not only the one that reads a changed chapter."""
    for chapter in chapters(Path(app.srcdir)):
        problems = list(chapter.unproved())
        if not chapter.has_header:
            problems.append("the header cannot be read: type it in the first cell, as CONTRIBUTING.md shows it")
        for problem in problems:
            LOGGER.warning(problem, location=(env.path2doc(str(chapter.path)), None), type="course")


def leave_figures_unnumbered(app, config):
    """Numbers would count through the whole book, and every build would read all pages for them."""
    config.numfig = False  # an extension of Jupyter Book's switches it on, whatever _config.yml says


def write_notebooks(app, exception):
    if exception is None and app.builder.format == "html":
        write_all(Path(app.outdir, "standalone"))


def setup(app):
    for priority, transform in TRANSFORMS.items():
        transform.default_priority = priority
        app.add_transform(transform)
    for priority, transform in POST_TRANSFORMS.items():
        transform.default_priority = priority
        app.add_post_transform(transform)
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.connect("config-inited", leave_figures_unnumbered, priority=900)
    app.connect("env-before-read-docs", report_problems)
    app.connect("build-finished", write_notebooks)
    pages.setup(app)
    formulas.setup(app)
    callouts.setup(app)
    cells.setup(app)
    assets.setup(app)
    claims.setup(app)
    references.setup(app)
    learning_map.setup(app)
    benchmarks.setup(app)
    progress.setup(app)
    screens.setup(app)
    light.setup(app)
    paper.setup(app)
    head.setup(app)
    header_card.setup(app)
    needed_for.setup(app)
    search.setup(app)
    descriptions.setup(app)
    published.setup(app)
    policy.setup(app)
    pages.add_files_where(app, 'class="listing', "listings.css")
    pages.add_files_where(app, 'class="letters"', "listings.css")
    return {"env_version": 2, "parallel_read_safe": True, "parallel_write_safe": True}
