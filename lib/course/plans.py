"""A function's annotations as Python expressions that are true only where jaxtyping and beartype are sure to be content.

    def f(x: Float[Tensor, "n 8"]) -> Float[Tensor, "n"]

becomes, with a name for everything that is not an argument,

    def sizes_of(x):
        _size_n = None
        if (isinstance(x, Tensor) and (x.dtype in right_dtypes or …) and len(_shape := x.shape) == 2
                and (_size_n := _shape[0] if _size_n is None else _size_n) == _shape[0] and _shape[1] == 8):
            return [_size_n]

and a function `is_fine(_result, _size_n)` of the same kind.
"""

import inspect
import re
import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
from jaxtyping import AbstractArray

_TAKEN = re.compile("_.*|all|callable|isinstance|len|type")  # names that the expressions use themselves


class _Unplanned(Exception):
    """An annotation has no test that is both quick and sure."""


def plan(function) -> tuple[Callable, Callable] | None:
    """The functions `sizes_of` and `is_fine` that are described above, or None: this function is for the judge alone."""
    try:
        return _written(function)
    except _Unplanned:
        return None


def _written(function) -> tuple[Callable, Callable]:
    if not inspect.isfunction(function):
        raise _Unplanned
    signature, writer = inspect.signature(function), _Writer()
    parameters, tests = signature.parameters.values(), []
    for p in parameters:
        if _TAKEN.fullmatch(p.name) or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.annotation is not p.empty:
            raise _Unplanned
        tests.append(writer.test(p.annotation, p.name))
    sizes = list(writer.sizes.values())
    integers = [p.name for p in parameters if p.annotation is int]
    writer.quotable, writer.of_arguments = {f"{{{name}}}": f"_value_{name}" for name in integers}, False
    result = writer.test(signature.return_annotation, "_result")
    new_sizes = [f"{size}=None" for size in writer.sizes.values() if size not in sizes]
    bare = [p.replace(annotation=p.empty, default=p.empty) for p in parameters]
    source = f"""
def sizes_of{inspect.Signature(bare)}:
    {" = ".join([*sizes, "None"])}
    if {" and ".join(["True", *tests])}:
        return [{", ".join(sizes + integers)}]

def is_fine({", ".join(["_result", *sizes, *writer.quotable.values(), *new_sizes])}):
    return {result}
"""
    exec(source, writer.scope)
    sizes_of, is_fine = writer.scope["sizes_of"], writer.scope["is_fine"]
    sizes_of.__defaults__, sizes_of.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return sizes_of, is_fine


class _Writer:
    """Writes the tests of one function's annotations; the value to test is itself an expression."""

    def __init__(self):
        self.scope: dict[str, Any] = {}  # what the expressions refer to, by name
        self.sizes: dict[str, str] = {}  # the variable that holds the size of a named dimension
        self.quotable: dict[str, str] = {}  # the variable that holds an argument, by its `{name}` in a result's shape
        self.of_arguments = True

    def name(self, thing=None) -> str:
        name = f"_{len(self.scope)}"
        self.scope[name] = thing
        return name

    def test(self, annotation, value: str) -> str:
        origin, members = get_origin(annotation), get_args(annotation)
        if annotation is Any or annotation is inspect.Parameter.empty:
            return "True"
        if kinds := _classes(annotation):
            return f"isinstance({value}, {self.name(kinds)})"
        if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
            return self.array(annotation, value)
        if origin is Callable:
            return f"callable({value})"
        if origin is Literal:
            return f"(type({value}), {value}) in {self.name({(type(member), member) for member in members})}"
        if origin in (Union, types.UnionType):
            return self.union(members, value)
        if not members:
            raise _Unplanned
        if origin is tuple and members[-1] is not ...:
            tests = [f"isinstance({value}, {self.name(tuple)}) and len({value}) == {len(members)}"]
            return " and ".join(tests + [self.test(member, f"{value}[{i}]") for i, member in enumerate(members)])
        if origin in (tuple, list, Sequence):
            kinds, item = self.name((tuple, list) if origin is Sequence else origin), self.name()
            return f"isinstance({value}, {kinds}) and all({self.test(members[0], item)} for {item} in {value})"
        if origin is dict:
            kinds, key, item = self.name(dict), self.name(), self.name()
            tests = f"{self.test(members[0], key)} and {self.test(members[1], item)}"
            return f"isinstance({value}, {kinds}) and all({tests} for {key}, {item} in {value}.items())"
        raise _Unplanned

    def union(self, members, value: str) -> str:
        kinds = sum(map(_classes, members), ())
        others = [member for member in members if not _classes(member)]
        if len({getattr(member, "dim_str", member) for member in others}) > 1:
            raise _Unplanned  # the sizes could depend on which of them is tried first
        tests = [f"isinstance({value}, {self.name(kinds)})", *(self.test(member, value) for member in others)]
        return f"({' or '.join(tests)})"

    def array(self, annotation, value: str) -> str:
        kind, words = annotation.array_type, annotation.dim_str.split()
        any_shape, right_dtypes = annotation.dtype[kind, "..."], set()
        if not _classes(kind) or any_shape.dtypes != annotation.dtypes:
            raise _Unplanned
        is_right = self.name(lambda array, dtype: isinstance(array, any_shape) and not right_dtypes.add(dtype))
        # numpy's int64 and longlong can be equal, but jaxtyping tells them apart by the names of their types
        dtype = f"({value}.dtype, {value}.dtype.type)" if issubclass(kind, np.ndarray) else f"{value}.dtype"
        several = next((i for i, word in enumerate(words) if word == "..." or word[0] == "*"), len(words))
        tests = [
            f"isinstance({value}, {self.name(kind)})",
            f"({dtype} in {self.name(right_dtypes)} or {is_right}({value}, {dtype}))",
            f"len(_shape := {value}.shape) {'==' if several == len(words) else '+ 1 >='} {len(words)}",
        ]
        for i, word in enumerate(words):
            at = f"{i}:{i + 1 - len(words) or ''}" if i == several else i if i < several else i - len(words)
            tests.append(self.size(word, f"_shape[{at}]"))
        return " and ".join(tests)

    def size(self, word: str, size: str) -> str:
        """The test of one word of a shape: `name`, `*name`, `#name`, `_`, `...`, `8`, `{argument}` or `name+1`."""
        if word == "..." or re.fullmatch(r"_\w*", word):
            return "True"
        if re.fullmatch(r"#\w+", word):
            return f"({size} == 1 or {self.size(word[1:], size)})"
        if re.fullmatch(r"\*?[^\W\d_]\w*", word):
            known = self.sizes.setdefault(word, f"_size_{word}" if word[0] != "*" else f"_sizes_{word[1:]}")
            return f"({known} := {size} if {known} is None else {known}) == {size}"
        if word.isdecimal():
            return f"{size} == {int(word)}"
        if word in self.quotable:
            return f"{size} == {self.quotable[word]}"
        if self.of_arguments or "{" in word:
            raise _Unplanned  # the order of the arguments could matter
        try:
            expression = re.sub(r"\b[^\W\d]\w*", lambda name: self.sizes[name[0]], word)
            compile(expression, word, "eval")
        except (KeyError, SyntaxError):
            raise _Unplanned
        return f"{size} == ({expression})"


def _classes(annotation) -> tuple[type, ...]:
    """The classes of an annotation that `isinstance` alone decides; of any other, none."""
    if annotation is None:
        return (type(None),)
    if not isinstance(annotation, type) or type(annotation).__module__.startswith("jaxtyping"):
        return ()
    if any(map(get_origin, getattr(annotation, "__orig_bases__", ()))):
        return ()
    try:
        isinstance(None, annotation)
    except TypeError:
        return ()
    return {float: (float, int), complex: (complex, float, int)}.get(annotation, (annotation,))
