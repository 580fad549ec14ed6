"""What of `lib` is public, found by inspection, and arguments with which it answers."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import lib

PACKAGES = ("course", "foundations", "learning", "sequence", "systems", "vision", "generative", "chapter")


@dataclass(frozen=True)
class Target:
    """A public function, constructor or method, by the name that it has in its module, such as `MLP.forward`."""

    module: str
    name: str
    function: Callable
    owner: type | None = None

    @property
    def full_name(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        return _parameters(self.function)

    @property
    def documentation(self) -> str:
        """What it, its class and its module say of themselves."""
        texts = [self.function.__doc__, self.owner and self.owner.__doc__, inspect.getmodule(self.function).__doc__]
        return " ".join(filter(None, texts))

    def call(self, arguments: dict):
        """Call it with arguments by name; what stands under the name of `*args` is a sequence, under `**args` a dict."""
        positional, named = [], {}
        for name, parameter in self.parameters.items():
            if name not in arguments:
                continue
            value = arguments[name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional.extend(value)
            elif parameter.kind is parameter.VAR_KEYWORD:
                named.update(value)
            elif parameter.kind is parameter.KEYWORD_ONLY:
                named[name] = value
            elif len(positional) == list(self.parameters).index(name):
                positional.append(value)
            else:
                named[name] = value
        return self.function(*positional, **named)


@cache
def _parameters(function):
    return dict(inspect.signature(function).parameters)


def module_names(of: str = "") -> list[str]:
    """The modules of `lib`: all of them, or one, or those of one package."""
    names = [f"lib.{package}" for package in PACKAGES]
    names += [m.name for package in PACKAGES for m in pkgutil.iter_modules([f"{lib.__path__[0]}/{package}"], f"lib.{package}.")]
    return sorted((n for n in names if n == of or n.startswith(of + ".") or not of), key=lambda n: PACKAGES.index(n.split(".")[1]))


def targets(module: ModuleType) -> list[Target]:
    """The public functions that a module defines, its classes' own constructors and their public methods."""
    found = []
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing):
            found += _of_class(module.__name__, name, thing)
        elif inspect.isroutine(thing):
            found.append(Target(module.__name__, name, thing))
    return found


def _of_class(module: str, name: str, cls: type) -> list[Target]:
    if issubclass(cls, Exception):
        return []
    found = []
    if "__init__" in vars(cls) or issubclass(cls, tuple):
        found.append(Target(module, name, cls, cls))
    for method, value in vars(cls).items():
        if method != "__call__" and method.startswith("_") or isinstance(value, property):
            continue
        if callable(getattr(cls, method)) and (issubclass(cls, tuple) is False or method not in tuple.__dict__):
            found.append(Target(module, f"{name}.{method}", getattr(cls, method), cls))
    return found


def all_targets(of: str = "") -> list[Target]:
    """The targets of a module or a package, or of all of `lib`."""
    return [target for name in module_names(of) for target in targets(importlib.import_module(name))]
