"""Formulas in the browser: drawn without a script, read by screen readers, copied as typed."""


def test_formulas_need_no_script(browser, origin, path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{origin}/{path}")
    formulas = page.locator(".math")
    sizes = [formulas.nth(i).locator("svg.formula").first.get_attribute("width") for i in range(min(formulas.count(), 5))]
    assert all(size.endswith("ex") for size in sizes)
    assert "\\(" not in page.locator("body").inner_text()
    context.close()


def test_the_font_of_the_formulas_is_there(visit, chapter):
    page = visit(chapter).page
    assert page.evaluate("document.fonts.check('16px formulas') && [...document.fonts].some(f => f.family === 'formulas')")
    letters = set("".join(page.locator("svg.formula text").all_text_contents()))
    without = page.evaluate(
        """letters => {
          const context = document.createElement('canvas').getContext('2d');
          const widths = font => letters.map(letter => (context.font = font, context.measureText(letter).width));
          const [ours, other] = [widths('1000px formulas, monospace'), widths('1000px formulas, serif')];
          return letters.filter((_, i) => ours[i] !== other[i]);
        }""",
        sorted(letters),
    )
    assert letters and without == []


def test_letters_stand_where_the_page_puts_them(visit, chapter):
    """The first letter of a text is where its first steps lead: the browser has not moved the text. Closed folds have
    no letters yet."""
    moved = visit(chapter).page.evaluate(
        """() => [...document.querySelectorAll('svg.formula text')].filter(text => text.getNumberOfChars()).filter(text => {
            const {x, y} = text.getStartPositionOfChar(0);
            const step = name => parseFloat(text.getAttribute(name) || 0);
            return Math.hypot(x - step('dx'), y - step('dy')) > 2;
        }).map(text => text.closest('.math').dataset.tex)"""
    )
    assert moved == []


def test_screen_readers_get_mathml(visit, chapter):
    page = visit(chapter).page
    formulas = page.locator(".bd-article .math")
    assert formulas.count() == page.locator(".bd-article .math > math").count() > 0
    assert page.locator(".bd-article svg.formula:not([aria-hidden=true])").count() == 0
    assert page.locator("math merror").count() == 0


def test_a_formula_is_copied_as_typed(visit, chapter):
    page = visit(chapter).page
    copied = page.evaluate(
        """() => {
          const paragraph = [...document.querySelectorAll('.bd-article p')].find(p => p.querySelector('.math'));
          getSelection().selectAllChildren(paragraph);
          const event = new ClipboardEvent('copy', {clipboardData: new DataTransfer(), bubbles: true, cancelable: true});
          paragraph.dispatchEvent(event);
          getSelection().removeAllRanges();
          return [event.clipboardData.getData('text/plain'), paragraph.querySelector('.math').dataset.tex];
        }"""
    )
    assert f"${copied[1]}$" in copied[0]
