"""What axe, a checker for accessibility, finds on each page."""

from axe_playwright_python.sync_playwright import Axe

THEME = ".bd-sidebar-primary"  # the theme's sidebar, whose title stands outside its landmarks


def test_axe_finds_nothing(visit, path):
    page = visit(path).page
    result = Axe().run(page, options={"resultTypes": ["violations"], "preload": False})  # else it asks for wrong files
    found = [
        f"{violation['id']}: {node['html']}"
        for violation in result.response["violations"]
        for node in violation["nodes"]
        if not (violation["id"] == "region" and page.locator(THEME).locator(node["target"][0]).count())
    ]
    assert found == []
