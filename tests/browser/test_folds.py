"""Checks stay folded until a reader asks for one."""

import pytest

from .conftest import address

CHECKS = "details.check"


@pytest.fixture(params=[True, False], ids=["scripts", "no scripts"])
def open_page(request, browser, origin, folding):
    """A fresh page on a chapter with folded checks, with scripts and without."""
    context = browser.new_context(java_script_enabled=request.param)
    page = context.new_page()
    page.goto(f"{origin}/{address(folding)}")
    yield page
    context.close()


@pytest.fixture(scope="session")
def folding(book):
    """A chapter whose checks are folded."""
    return next(chapter for chapter in book if all(chapter.is_folded(check.cell) for check in chapter.checks))


def fold_of(page, tick):
    return page.locator(f"{CHECKS}:has({tick.get_attribute('href')})")


def is_open(fold):
    return fold.get_attribute("open") is not None


@pytest.mark.parametrize("act", [lambda tick: tick.click(), lambda tick: tick.press("Enter")], ids=["mouse", "keyboard"])
def test_a_tick_opens_the_fold_that_it_leads_to(open_page, act):
    tick = open_page.locator("a.tick").first
    fold = fold_of(open_page, tick)
    assert not is_open(fold)
    act(tick)
    open_page.wait_for_timeout(200)
    assert is_open(fold)
    assert sum(map(is_open, open_page.locator(CHECKS).all())) == 1


def test_a_tick_opens_its_fold_again_after_a_reader_closed_it(browser, origin, folding):
    page = browser.new_page()
    page.goto(f"{origin}/{address(folding)}")
    tick = page.locator("a.tick").first
    fold = fold_of(page, tick)
    for _ in range(2):
        tick.click()
        page.wait_for_timeout(200)
        assert is_open(fold)
        fold.locator("summary").click()
        assert not is_open(fold)
    page.close()


def test_all_checks_open_and_close_at_once(browser, origin, folding):
    page = browser.new_page()
    page.goto(f"{origin}/{address(folding)}")
    checks = page.locator(CHECKS).all()
    for label, state in [("Open all checks", True), ("Close all checks", False)]:
        page.get_by_role("button", name=label).click()
        assert all(is_open(check) == state for check in checks)
    page.close()


def test_printing_closes_checks_opens_the_rest_and_leaves_exercises(browser, origin, folding):
    page = browser.new_page()
    page.goto(f"{origin}/{address(folding)}")
    states = f"""() => [...document.querySelectorAll("details.fold")].map(fold => [fold.className, fold.open])"""
    page.locator(CHECKS).first.locator("summary").click()
    page.locator("details.exercise").last.locator("summary").first.click()
    before = page.evaluate(states)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for (kind, was_open), (_, prints_open) in zip(before, page.evaluate(states), strict=True):
        assert prints_open == (was_open if "exercise" in kind else "check" not in kind)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(states) == before
    page.close()
