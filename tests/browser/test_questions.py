"""A question and the fold with its answer are one card, closed until the reader asks."""

import pytest

QUESTION, ANSWER = ".callout.question", ".callout.question + details"


@pytest.fixture(scope="session")
def asking(book):
    """A chapter that asks questions."""
    return next(chapter for chapter in book if "> **Question.**" in chapter.prose())


def test_every_question_has_a_closed_answer_with_it(visit, asking):
    page = visit(asking).page
    asked = asking.prose().count("> **Question.**")
    assert page.locator(QUESTION).count() == page.locator(ANSWER).count() == asked
    assert page.locator(f"{ANSWER}[open]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_question_and_answer_are_one_card(visit, asking, width, scheme):
    page = visit(asking, width, scheme).page
    question, answer = (page.locator(card).first.bounding_box() for card in (QUESTION, ANSWER))
    assert abs(question["y"] + question["height"] - answer["y"]) < 1
    assert abs(question["x"] - answer["x"]) < 1 and abs(question["width"] - answer["width"]) < 1
    title, text = page.locator(f"{QUESTION} p").first, page.locator(f"{QUESTION} p").nth(1)
    assert title.inner_text() == "Question" and page.locator(f"{ANSWER} summary").first.inner_text() == "Answer"
    assert abs(title.bounding_box()["x"] - text.bounding_box()["x"]) < 1


def test_the_keyboard_opens_an_answer(browser, origin, asking):
    page = browser.new_page()
    page.goto(f"{origin}/book/{asking.part}/{asking.slug}.html")
    answer = page.locator(ANSWER).first
    answer.locator("summary").press("Enter")
    assert answer.get_attribute("open") is not None
    assert answer.locator("p").first.is_visible()
    page.close()
