"""The one-place edits of a piece of Python that stand for slips of the pen: a sign, an operator, an axis, a constant.

Left alone are texts, annotations, decorators, and what is no method: assertions, claims, exercises, printing, drawing
and the numbers that seed a generator.
"""

import ast
import builtins
import random
import re
import warnings
from dataclasses import dataclass

NOT_METHOD = {
    *("claims", "exercises", "testing", "print", "figures", "figure", "axes", "plt"),
    *("seed", "manual_seed", "default_rng"),
}  # fmt: skip
OPERATORS = {
    ast.Add: ("+", ["-"]), ast.Sub: ("-", ["+"]), ast.Mult: ("*", ["/"]), ast.Div: ("/", ["*"]),
    ast.Pow: ("**", ["*"]), ast.FloorDiv: ("//", ["/", "*"]), ast.Mod: ("%", ["//"]), ast.MatMult: ("@", ["*"]),
    ast.BitAnd: ("&", ["|"]), ast.BitOr: ("|", ["&"]), ast.And: ("and", ["or"]), ast.Or: ("or", ["and"]),
    ast.Lt: ("<", ["<=", ">"]), ast.LtE: ("<=", ["<", ">"]), ast.Gt: (">", [">=", "<"]), ast.GtE: (">=", [">", "<"]),
    ast.Eq: ("==", ["!="]), ast.NotEq: ("!=", ["=="]), ast.Is: ("is", ["is not"]), ast.IsNot: ("is not", ["is"]),
    ast.In: ("in", ["not in"]), ast.NotIn: ("not in", ["in"]),
}  # fmt: skip
PAIRS = """min max, argmin argmax, minimum maximum, amin amax, sin cos, sinh cosh, exp log, exp expm1, log log1p,
log1p expm1, sum mean, var std, floor ceil, any all, cumsum cumprod, zeros ones, zeros_like ones_like, tril triu,
softmax log_softmax"""
NAMES = {}
for pair in PAIRS.split(","):
    one, other = pair.split()
    NAMES.setdefault(one, []).append(other)
    NAMES.setdefault(other, []).append(one)
SYMMETRIC = {"min", "max", "minimum", "maximum", "add", "multiply", "hypot", "logaddexp", "gcd", "allclose", "zip"}


@dataclass(frozen=True)
class Edit:
    """Bytes `start` to `end` of a source become `text`."""

    start: int
    end: int
    text: str

    def of(self, source: str) -> str:
        """The edited source."""
        data = source.encode()
        return (data[: self.start] + self.text.encode() + data[self.end :]).decode()

    def lines(self, source: str) -> tuple[int, str, str]:
        """The number of the first line that it changes, and the lines it changes, before and after, each as one."""
        data, after = source.encode(), self.of(source).encode()
        begin = data.rfind(b"\n", 0, self.start) + 1
        tail = len(data) - (data + b"\n").index(b"\n", self.end)
        shown = (" ".join(text[begin : len(text) - tail].decode().split()) for text in (data, after))
        return data.count(b"\n", 0, begin) + 1, *shown


def sites(source: str, functions_only: bool = False) -> list[list[Edit]]:
    """The places of a source that can be edited, each with its edits; every edit compiles and changes the program.

    With `functions_only`, the places inside the functions and classes that it defines.
    """
    seen = {ast.dump(ast.parse(source))}
    every = candidates(source, functions_only)
    found = [[edit for edit in edits if _is_new(edit.of(source), seen)] for edits in every]
    return [edits for edits in found if edits]


def candidates(source: str, functions_only: bool = False) -> list[list[Edit]]:
    """The places and edits of `sites`, and such as do not compile, repeat another, or leave the program what it is."""
    finder = _Sites(source)
    kept = (ast.FunctionDef, ast.ClassDef) if functions_only else ast.stmt
    for statement in ast.parse(source).body:
        if isinstance(statement, kept):
            finder.visit(statement)
    return finder.found


def draw(places: list[list], count: int, seed: str) -> list:
    """`count` different edits of places, or all there are: first a place is drawn, then one of its edits."""
    generator, left, chosen = random.Random(seed), [list(place) for place in places if place], []
    while left and len(chosen) < count:
        place = generator.choice(left)
        chosen.append(place.pop(generator.randrange(len(place))))
        if not place:
            left.remove(place)
    return chosen


def _is_new(source: str, seen: set[str]) -> bool:
    """Whether the source compiles to a program that was not seen before; remember it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # 1[0] compiles; that it raises is for others to notice
            compile(source, "edited", "exec")
    except SyntaxError:
        return False
    program = ast.dump(ast.parse(source))
    if program in seen:
        return False
    seen.add(program)
    return True


class _Sites(ast.NodeVisitor):
    """Collects in `found` the edits of each place."""

    def __init__(self, source: str):
        self.data = source.encode()
        self.starts = [0, *(match.end() for match in re.finditer(b"\n", self.data))]
        self.found: list[list[Edit]] = []

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node begins and ends, in bytes."""
        begin = self.starts[node.lineno - 1] + node.col_offset
        return begin, self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, start: int, end: int) -> str:
        return self.data[start:end].decode()

    def operator(self, left: ast.AST, kind: ast.AST, right: ast.AST, assigns: str = "") -> tuple[int, int]:
        """Where the operator between two operands stands, or `op=` without its `=`."""
        begin, end = self.span(left)[1], self.span(right)[0]
        gap = re.sub(rb"#[^\n]*", lambda comment: b" " * len(comment[0]), self.data[begin:end])
        pattern = r"\s+".join(re.escape(word) for word in OPERATORS[type(kind)][0].split()) + f"(?={assigns})"
        match = re.search(pattern.encode(), gap)
        return begin + match.start(), begin + match.end()

    def swaps(self, left, kind, right, assigns: str = "") -> list[Edit]:
        """The edits that put another operator between two operands."""
        if type(kind) not in OPERATORS:
            return []
        place = self.operator(left, kind, right, assigns)
        return [Edit(*place, other) for other in OPERATORS[type(kind)][1]]

    def visit_BinOp(self, node):
        edits = self.swaps(node.left, node.op, node.right)
        if isinstance(node.op, (ast.Add, ast.Sub)):
            begin, end = self.span(node)
            sign, after = self.operator(node.left, node.op, node.right)
            edits.append(Edit(len(self.data[:sign].rstrip(b" ")), end, ""))
            if not (isinstance(node.left, ast.BinOp) and isinstance(node.left.op, (ast.Add, ast.Sub))):
                after += len(self.data[after:]) - len(self.data[after:].lstrip(b" "))
                edits.append(Edit(begin, after, "-" if isinstance(node.op, ast.Sub) else ""))
        self.found.append(edits)
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        self.found.append(self.swaps(node.target, node.op, node.value, "="))
        self.generic_visit(node)

    def visit_Compare(self, node):
        operands = [node.left, *node.comparators]
        for left, kind, right in zip(operands, node.ops, operands[1:], strict=False):
            self.found.append(self.swaps(left, kind, right))
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.found.append(self.swaps(left, node.op, right))
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        begin, end = self.span(node)
        mark = re.match(r"not\b|[-~]", self.text(begin, end))
        if mark:
            self.found.append([Edit(begin, begin + mark.end(), "")])
        self.generic_visit(node)

    def visit_Constant(self, node):
        value, place = node.value, self.span(node)
        if isinstance(value, bool):
            self.found.append([Edit(*place, str(not value))])
        elif isinstance(value, int):
            self.found.append([Edit(*place, str(other)) for other in ([2, 0] if value == 1 else [value + 1])])
        elif isinstance(value, float):
            self.found.append([Edit(*place, repr(1.5 * value or 1.0))])

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load) and hasattr(builtins, node.id):
            others = [other for other in NAMES.get(node.id, []) if hasattr(builtins, other)]
            self.found.append([Edit(*self.span(node), other) for other in others])

    def visit_Attribute(self, node):
        end = self.span(node)[1]
        self.found.append([Edit(end - len(node.attr.encode()), end, other) for other in NAMES.get(node.attr, [])])
        self.generic_visit(node)

    def visit_Call(self, node):
        path = _path(node.func)
        if NOT_METHOD & path:
            return
        if not SYMMETRIC & path:
            edits = []
            for left, right in zip(node.args, node.args[1:], strict=False):
                if not any(isinstance(a, ast.Starred) or _is_text(a) for a in (left, right)):
                    (begin, left_end), (right_begin, end) = self.span(left), self.span(right)
                    between = self.text(left_end, right_begin)
                    edits.append(Edit(begin, end, self.text(right_begin, end) + between + self.text(begin, left_end)))
            self.found.append(edits)
        self.generic_visit(node)

    def visit_keyword(self, node):
        if node.arg in ("seed", "random_state"):
            return
        if node.arg in ("axis", "dim") and re.fullmatch(r"-?\d+", self.text(*self.span(node.value))):
            self.found.append([Edit(*self.span(node.value), other) for other in ("0", "1", "-1")])
        else:
            self.visit(node.value)

    def _minus_added(self, node):
        """A value that is computed gets the other sign."""
        if isinstance(node, ast.BinOp):
            place = self.span(node)
            self.found.append([Edit(*place, f"-({self.text(*place)})")])
        if node:
            self.visit(node)

    def visit_Assign(self, node):
        for target in node.targets:
            self.visit(target)
        self._minus_added(node.value)

    def visit_AnnAssign(self, node):
        self._minus_added(node.value)

    def visit_Return(self, node):
        self._minus_added(node.value)

    def visit_arguments(self, node):
        for default in filter(None, [*node.defaults, *node.kw_defaults]):
            self.visit(default)

    def visit_Lambda(self, node):
        self.visit(node.args)
        self._minus_added(node.body)

    def visit_FunctionDef(self, node):
        self.visit(node.args)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node):
        for statement in node.body:
            self.visit(statement)

    def visit_JoinedStr(self, node):
        """A text, whatever it shows."""

    def visit_Assert(self, node):
        """A check, not a method."""


def _path(node: ast.AST) -> set[str]:
    """The names on the way to a called function: {"np", "linalg", "solve"}."""
    names = set()
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        node = node.func if isinstance(node, ast.Call) else node.value
    return names | ({node.id} if isinstance(node, ast.Name) else set())


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or isinstance(node, ast.Constant) and isinstance(node.value, str)
