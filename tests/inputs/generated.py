"""Arguments that suit a signature, made from its annotations: one size for each axis name."""

import copy
import inspect
import re
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import torch
from jaxtyping import AbstractArray

NUMBERS = {int: 2, float: 0.5, bool: False, str: "word"}


class NoExample(Exception):
    """An annotation from which no argument can be made: an example must give it."""


class Maker:
    """Makes the arguments of one call. `size` gives the size of an axis by its name; `seed` gives the numbers.

    Arguments that are not `given` and have a default get it, but for the one that is `wanted` where its default is None.
    """

    def __init__(
        self, parameters: dict[str, inspect.Parameter], given: dict, size: Callable[[str], int], seed: int = 0, wanted: str = ""
    ):
        self.generator = torch.Generator().manual_seed(seed)
        self.sizes, self.size = {}, size
        self.arguments = {}
        for name, parameter in parameters.items():
            if name in given:
                self.arguments[name] = given[name]
            elif parameter.default is parameter.empty or parameter.default is None and name == wanted:
                self.arguments[name] = self.make(parameter.annotation, name)
            elif isinstance(parameter.default, (bool, int, float, str, tuple, np.ndarray)):
                self.arguments[name] = copy.copy(parameter.default)

    def make(self, annotation, name: str):
        origin, members = get_origin(annotation), get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
            return self.array(annotation)
        if annotation in NUMBERS:
            return NUMBERS[annotation]
        if annotation is torch.Generator:
            return torch.Generator().manual_seed(1)
        if annotation is np.random.Generator:
            return np.random.default_rng(1)
        if annotation is torch.dtype:
            return torch.float32
        if origin is Literal:
            return members[0]
        if origin in (Union, UnionType):
            return self.make(members[0], name)
        if origin is tuple and members[-1] is not ...:
            return tuple(self.make(member, name) for member in members)
        if origin in (tuple, list, Sequence):
            items = [self.make(members[0], name) for _ in range(2)]
            return tuple(items) if origin is tuple else items
        raise NoExample(f"{name}: {annotation}")

    def array(self, annotation):
        shape = [size for word in annotation.dim_str.split() for size in self.axis(word)]
        values = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        dtypes, kind = annotation.dtypes, annotation.array_type
        if "bool" in dtypes:
            values = values > 0.4
        elif not any("float" in dtype for dtype in dtypes):
            values = (2 * values).long()
        elif "float32" in dtypes and "float64" not in dtypes:
            values = values.float()
        elif kind is torch.Tensor and "float32" in dtypes:
            values = values.float()
        return values.numpy() if kind is np.ndarray else values

    def axis(self, word: str) -> list[int]:
        """The sizes that one word of a shape stands for."""
        word = word.lstrip("#")
        if word == "...":
            return [2]
        if word.isdecimal():
            return [int(word)]
        if word[0] == "*":
            return [self.named(word[1:])]
        if re.fullmatch(r"\w+", word):
            return [self.named(word)]
        known = {**self.sizes, **{n: v for n, v in self.arguments.items() if isinstance(v, int)}}
        try:
            return [eval(word.replace("{", "").replace("}", ""), {}, known)]
        except NameError:
            raise NoExample(word)

    def named(self, name: str) -> int:
        if name not in self.sizes:
            self.sizes[name] = self.size(name)
        return self.sizes[name]
