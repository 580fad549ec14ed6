"""What a reader finds in every chapter."""

import json
import re


def test_standalone_notebook_downloads(visit, chapter):
    page = visit(chapter).page
    with page.expect_download() as event:
        page.get_by_role("link", name="Standalone notebook").click()
    notebook = json.loads(event.value.path().read_text(encoding="utf-8"))
    first = notebook["cells"][0]
    assert "".join(first["source"]).startswith("#@title Set-up: run this first")
    assert first["metadata"]["jupyter"]["source_hidden"] is True
    assert len(notebook["cells"]) == len(chapter.cells) + 1


def test_every_numbered_equation_shows_its_number(visit, chapter):
    page = visit(chapter).page
    for tag in (equation.tag for equation in chapter.equations if equation.tag):
        assert page.locator(f"#eq-{tag} .equation-number").text_content() == f"({tag})"


def test_every_claim_has_a_tick_that_leads_to_its_check(visit, chapter):
    page = visit(chapter).page
    for number in chapter.claim_numbers:
        ticks = page.locator(f"#eq-{number} a.tick")
        assert ticks.count() == len({check.cell for check in chapter.checks if check.number == number})
        for tick in ticks.all():
            target = page.locator(tick.get_attribute("href"))
            assert target.count() == 1
            assert f"✓ ({number})" in target.locator("xpath=ancestor-or-self::*[contains(@class, 'cell')][1]").text_content()
            assert f"Equation ({number}) is checked." in tick.get_attribute("aria-label")


def test_callouts_are_cards(visit, chapter):
    page = visit(chapter).page
    assert page.locator(".callout .admonition-title", has_text="Correction").count() >= 1
    plain = page.locator("blockquote").evaluate_all(
        "all => all.filter(q => /^\\s*<p>\\s*<strong>[^<]*\\.<\\/strong>/.test(q.innerHTML)).map(q => q.innerText)"
    )
    assert plain == []


def test_folds_open(visit, chapter):
    page = visit(chapter).page
    folded_cells = [i for i in chapter.indices("code") if chapter.tags(i) & {"hide-cell", "hide-input"}]
    opened = page.locator(".bd-article details").evaluate_all(
        """folds => folds.map(fold => {
          const summary = fold.querySelector("summary");
          const before = fold.open;
          summary.click();
          const after = fold.open, tall = fold.offsetHeight > 1.8 * summary.offsetHeight;
          summary.click();
          return {title: summary.textContent, before, after, tall};
        })"""
    )
    assert len(opened) >= len(folded_cells) > 0
    assert [fold for fold in opened if fold["before"] or not fold["after"] or not fold["tall"]] == []


def test_figures_have_captions_and_alternative_texts(visit, chapter):
    page = visit(chapter).page
    images = page.locator(".cell_output img")
    assert images.count() > 0
    for image in images.all():
        assert len(image.get_attribute("alt") or "") > 20
    assert page.locator("figure figcaption").count() == page.locator("figure").count() > 0


def test_search_finds_the_chapter(origin, browser, chapter):
    words = re.findall(r"[A-Za-z]{4,}", chapter.header.title)
    page = browser.new_page()
    page.goto(f"{origin}/search.html?q={words[-1]}")
    page.wait_for_selector("#search-results li")
    found = page.locator("#search-results a").evaluate_all("all => all.map(a => a.href)")
    page.close()
    assert any(f"{chapter.slug}.html" in link for link in found)
