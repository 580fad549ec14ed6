"""Every chapter of the book keeps the contract."""

import contract
import pytest
from toolbox import Chapter, chapter_paths


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_the_chapter_keeps_the_contract(path):
    found = contract.violations(Chapter(path))
    assert not found, "\n" + "\n".join(found)


def test_the_book_keeps_the_contract():
    assert not contract.book_violations()
