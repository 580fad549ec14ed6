"""How to cite a chapter: a line for a list of references, and an entry for BibTeX."""

import re
from html import escape

from lib.chapter.notebook import Chapter

_SPECIAL = re.compile(r"([&%$#_{}])")


def line(title: str, book: str, author: str, year: str, address: str) -> str:
    """A reference in plain text; the address is "" where the book has none."""
    return f"{author} ({year}). {title}. In: {book}.{address and f' {address}'}"


def bibtex(key: str, title: str, book: str, author: str, year: str, address: str) -> str:
    """A BibTeX entry; inner braces keep capitals as they are, and an author that is no person in one piece."""
    fields = {"title": f"{{{tex(title)}}}", "author": f"{{{tex(author)}}}"}
    fields |= {"howpublished": f"In: {tex(book)}", "year": year}
    if address:
        fields["url"] = address
    return f"@misc{{{key},\n" + "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items()) + "}"


def tex(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def cite(chapter: Chapter, book: str, author: str, year: str, address: str) -> str:
    """Both, as HTML; the classes are those of code, which has a button that copies it."""
    facts = (chapter.header.title, book, author, year, address)
    entry = bibtex(f"{chapter.slug}-{year}", *facts)
    return (
        f'<p class="citation">{escape(line(*facts))}</p>'
        f'<div class="highlight-bibtex notranslate"><div class="highlight"><pre>{escape(entry)}\n</pre></div></div>'
    )
