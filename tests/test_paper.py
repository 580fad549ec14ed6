"""Printing from dark mode: the light colours are found and made rules for it."""

from course_site.paper import light_on_paper

STYLE = """html[data-theme=light]{--text:#222;--link:#00f}html[data-theme=dark]{--text:#eee}
html[data-theme="light"] .highlight .k { color: #6730C5 } /* Keyword */
html[data-theme="dark"] .highlight .k { color: #DCC6E0 }
html[data-theme=light] .only-dark{display:none}"""


def test_light_colours_become_rules_for_dark_mode():
    assert light_on_paper(STYLE).splitlines() == [
        'html[data-theme="dark"]{--text:#222;--link:#00f}',
        'html[data-theme="dark"] .highlight .k{color: #6730C5}',
    ]


def test_a_style_without_themes_gives_nothing():
    assert light_on_paper("p { color: red }") == ""
