"""The site serves itself: scripts and style sheets are its own, and nothing is fetched from elsewhere."""

import shutil
from importlib import metadata
from pathlib import Path

PACKAGE = "sphinx-mathjax-offline"
SCRIPT = "tex-chtml-full.js"
FONTS = "output/chtml/fonts/woff-v2/"


def copy_mathjax(app):
    """Copy MathJax's script and fonts out of the installed package, if pages are to load them."""
    if app.builder.format != "html" or app.builder.math_renderer_name != "mathjax":
        return
    target = Path(app.outdir, "_static", "mathjax")
    for file in metadata.files(PACKAGE):
        inside = file.as_posix().partition("static/mathjax/")[2]
        if (inside == SCRIPT or inside.startswith(FONTS)) and not (target / inside).exists():
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target / inside)


def add_style_and_script(app):
    app.config.html_static_path.append(str(Path(__file__).parents[1] / "static"))
    app.add_css_file("course.css")
    app.add_js_file("course.js")


def drop_thebe(app, pagename, templatename, context, doctree):
    """jupyter-book loads thebe on every page; it would ask another host for a script."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{getattr(script, 'filename', script)}{getattr(script, 'attributes', '')}"
    ]
    context["css_files"] = [sheet for sheet in context["css_files"] if "thebe" not in str(sheet)]


def setup(app):
    app.connect("builder-inited", copy_mathjax)
    app.connect("builder-inited", add_style_and_script)
    app.connect("html-page-context", drop_thebe, priority=900)
