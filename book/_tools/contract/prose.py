"""The rules of prose: plain Markdown that every notebook viewer shows, and links that lead somewhere."""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from lib.chapter.book import chapter_paths
from lib.chapter.notebook import Chapter

HTML = frozenset({"details", "summary"})

# What only some viewers understand, found in text outside code and formulas, and what to write instead.
SITE_ONLY = {
    r"^:::": "a directive (:::); write a block quote with a bold first word",
    r"^\([\w:-]+\)=": "a label ((name)=); link to the heading",
    r"\{\{.*\}\}": "a substitution ({{ }}); write the text",
    r"\[\^[\w-]+\]": "a footnote; write a sentence",
    r"^(% |\+\+\+)": "a MyST comment or break; remove it",
    r"\\begin\{": r"an environment outside $$; write $$ \begin{aligned} … \end{aligned} \tag{1} $$",
}
MACROS = re.compile(r"\\(newcommand|renewcommand|providecommand|def|gdef|edef|let|DeclareMathOperator)\b")
NUMBERING = re.compile(r"\\(label|eqref|ref)\b|\\begin\{(align|equation|gather|multline|eqnarray)\*?\}")

_PARSER = MarkdownIt("commonmark").enable("table")
_PARSER.use(dollarmath_plugin, double_inline=True).use(anchors_plugin, max_level=4)


def prose(chapter: Chapter, root: Path) -> Iterator[str]:
    for i in chapter.indices("markdown"):
        tokens = list(_flat(_PARSER.parse(chapter.source(i))))
        for problem in (*_plain(tokens), *_links(tokens, chapter.path, root)):
            yield f"{chapter.place(i)}: {problem}"


def _flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or []


def _plain(tokens: list[Token]) -> Iterator[str]:
    before = ""
    for token in tokens:
        if token.type == "text":
            if "TODO" in token.content:
                yield f"still to write: {token.content}"
            for pattern, instead in SITE_ONLY.items():
                if re.search(pattern, token.content):
                    yield f"{token.content.strip()[:60]!r} is {instead}"
        elif token.type == "code_inline" and re.search(r"\{[\w:.-]+\}$", before):
            yield f"a role ({before[before.rindex('{') :]}`{token.content}`); write plain text or an ordinary link"
        elif token.type == "fence" and token.info.startswith("{"):
            yield f"a directive ({token.info}); write a block quote with a bold first word, or plain code"
        elif token.type in ("html_block", "html_inline"):
            names = set(re.findall(r"</?([a-zA-Z][\w-]*)|<(!)", token.content))
            for name in sorted({tag or "comment" for tag, _ in names} - HTML):
                yield f"HTML ({name}); only <details> and <summary> are allowed"
        elif token.type.startswith("math"):
            if token.type.endswith("label"):
                yield f"a label after a display (({token.info})); use \\tag{{1}}"
            if macro := MACROS.search(token.content):
                yield f"a macro of its own ({macro[0]}); write standard LaTeX"
            if command := NUMBERING.search(token.content):
                yield f"{command[0]} in a formula; write 'aligned' inside $$ and number with \\tag{{1}}"
        before = token.content if token.type == "text" else ""


def _links(tokens: list[Token], path: Path, root: Path) -> Iterator[str]:
    for token in tokens:
        if token.type == "image":
            if not token.content.strip():
                yield f"the picture {token.attrs['src']} has no alternative text; write ![what it shows](…)"
            yield from _target(token.attrs["src"], path, root)
        elif token.type == "link_open":
            yield from _target(token.attrs["href"], path, root)


def _target(link: str, path: Path, root: Path) -> Iterator[str]:
    """What is wrong with a link that is written in the file `path`."""
    url = urlsplit(unquote(link))
    if url.scheme in ("http", "https", "mailto"):
        return
    if url.scheme or url.netloc or url.path.startswith("/"):
        yield f"the link {link!r} is absolute; make it relative to the notebook"
        return
    target = (path.parent / url.path).resolve() if url.path else path
    if not target.exists():
        yield f"the link {link!r} leads nowhere; correct the path or name the thing in plain text"
    elif target.suffix == ".ipynb" and target != path and target not in [p.resolve() for p in chapter_paths(root)]:
        yield f"the link {link!r} leads to a chapter that is not in _toc.yml; name it in plain text until it is"
    elif url.fragment and url.fragment not in _anchors(target, target.stat().st_mtime_ns):
        yield f"the link {link!r} names no heading of {target.name}; copy the heading in lower case with hyphens"


@lru_cache
def _anchors(path: Path, changed: int) -> frozenset[str]:
    """The anchors of a page's headings; `changed` is the file's time, so that an edited file is read again."""
    source = Chapter(path).prose() if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    return frozenset(t.attrs["id"] for t in _PARSER.parse(source) if t.type == "heading_open" and "id" in t.attrs)
