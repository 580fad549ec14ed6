"""The pages of `lib`: every public function and class with its signature, its docstring and its source.

The files are read, not imported, so that the pages cost neither torch nor time.
"""

import ast
import re
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_refnode

from lib.chapter.notebook import Chapter

from .pages import BookDirective

PAGES = "book/api"
_ARXIV = re.compile(r"\barXiv (\d{4}\.\d{4,5})")
_LIB = re.compile(r"lib/(\w+)/(\w+)\.py")


@dataclass(frozen=True)
class Entry:
    """A public function or class of a module."""

    module: str
    name: str
    signature: str
    docstring: str
    source: str

    @property
    def anchor(self) -> str:
        return f"{self.module}.{self.name}"


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """How a function is called, or a class with its fields and public methods."""
    lines = [first_line(node)]
    for part in node.body if isinstance(node, ast.ClassDef) else []:
        if isinstance(part, ast.AnnAssign):
            lines.append("    " + ast.unparse(part))
        elif isinstance(part, ast.FunctionDef) and (part.name == "__init__" or not part.name.startswith("_")):
            lines.append("    " + first_line(part))
    return "\n".join(lines)


def first_line(node: ast.FunctionDef | ast.ClassDef) -> str:
    """A definition without its decorators and its body."""
    head = copy(node)
    head.decorator_list, head.body = [], [ast.Expr(ast.Constant(...))]
    return ast.unparse(head).removesuffix("\n    ...")


def module_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts)


def read_module(path: Path, root: Path) -> tuple[str, list[Entry]]:
    """A module's docstring, and what it defines under names without an underscore, in the file's order."""
    text, name = path.read_text(encoding="utf-8"), module_of(path, root)
    tree, lines, entries = ast.parse(text), text.splitlines(), []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            first = min([node.lineno, *[decorator.lineno for decorator in node.decorator_list]])
            source = "\n".join(lines[first - 1 : node.end_lineno])
            entries.append(Entry(name, node.name, signature(node), ast.get_docstring(node) or "", source))
    return ast.get_docstring(tree) or "", entries


def imported(chapter: Chapter) -> set[str]:
    """The names of `lib` that a chapter imports one by one, each with its module."""
    found = set()
    for i in chapter.indices("code"):
        if "from lib." not in chapter.source(i):
            continue
        for node in ast.walk(ast.parse(chapter.source(i))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lib."):
                found.update(f"{node.module}.{name.name}" for name in node.names)
    return found


def title_and_imports(chapter: Chapter) -> tuple[str, list[str]]:
    """What these pages say of a chapter."""
    return chapter.header.title, sorted(imported(chapter))


class Api(BookDirective):
    """`{api} package`: the modules of a package of `lib`."""

    required_arguments = 1
    take = staticmethod(title_and_imports)

    def run(self):
        root = Path(self.env.srcdir)
        users = {chapter: imported(chapter) for chapter in self.read_chapters()}
        sections = []
        for path in sorted((root / "lib" / self.arguments[0]).glob("[!_]*.py")):
            self.env.note_dependency(str(path))
            docstring, entries = read_module(path, root)
            module = module_of(path, root)
            section = nodes.section("", nodes.title("", module), *self.blocks(docstring), ids=[module])
            section["classes"] += ["listing", "api"]
            for entry in entries:
                section += self.entry(entry, [chapter for chapter, names in users.items() if entry.anchor in names])
            sections.append(section)
        return sections

    def entry(self, entry: Entry, users: list[Chapter]) -> nodes.section:
        section = nodes.section("", nodes.title("", entry.name), ids=[entry.anchor])
        section += nodes.literal_block(entry.signature, entry.signature, language="python")
        section += self.blocks(entry.docstring)
        if users:
            line = nodes.paragraph("", "Used in: ", classes=["after"])
            for i, chapter in enumerate(users):
                line += [nodes.Text(", " if i else ""), self.link(chapter, chapter.header.title)]
            section += line
        section += nodes.raw("", '<details><summary>Source</summary>', format="html")
        section += nodes.literal_block(entry.source, entry.source, language="python")
        section += nodes.raw("", "</details>", format="html")
        return section

    def blocks(self, docstring: str) -> list[nodes.Node]:
        body = nodes.container()
        text = _ARXIV.sub(r"[\g<0>](https://arxiv.org/abs/\1)", docstring)
        self.state.nested_parse(StringList(text.splitlines(), source=self.env.docname), 0, body)
        return list(body.children)


class LibLinks(SphinxTransform):
    """A chapter's link to a file of `lib` leads to the module's place on these pages."""

    def apply(self):
        for link in list(self.document.findall(addnodes.download_reference)):
            file = normpath(Path(self.env.docname).parent.joinpath(link["reftarget"]).as_posix())
            if (module := _LIB.fullmatch(file)) and (page := f"{PAGES}/{module[1]}") in self.env.found_docs:
                anchor = f"lib.{module[1]}.{module[2]}"
                builder = self.env.app.builder
                link.replace_self(make_refnode(builder, self.env.docname, page, anchor, list(link.children)))
