"""What axe, a checker for accessibility, finds on each page."""

from axe_playwright_python.sync_playwright import Axe

THEME = ".bd-sidebar-primary"  # the theme's sidebar, whose title stands outside its landmarks
# Formulas and code are two thirds of a chapter's elements, and all are drawn alike: axe looks into the first of each.
EMPTY = """([kinds, first]) => {
  for (const kind of kinds)
    for (const element of [...document.querySelectorAll(kind)].slice(first)) {
      element.kept = [...element.childNodes];
      element.replaceChildren();
    }
}"""
FILL = """kinds => {
  for (const element of document.querySelectorAll(kinds))
    if (element.kept) element.replaceChildren(...element.kept);
}"""


def test_axe_finds_nothing(visit, path):
    page = visit(path).page
    page.evaluate(EMPTY, [[".math", "pre"], 12])
    result = Axe().run(page, options={"resultTypes": ["violations"], "preload": False})  # else it asks for wrong files
    page.evaluate(FILL, ".math, pre")
    found = [
        f"{violation['id']}: {node['html']}"
        for violation in result.response["violations"]
        for node in violation["nodes"]
        if not (violation["id"] == "region" and page.locator(THEME).locator(node["target"][0]).count())
    ]
    assert found == []
